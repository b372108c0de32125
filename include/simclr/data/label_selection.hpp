#pragma once
// Chooses the labeled samples that a classifier learns from.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace simclr {

/// How many labeled samples to draw: exactly one of the two is set.
struct LabelQuota {
  std::optional<double> fraction;         ///< of all labeled samples, above 0 and at most 1
  std::optional<std::int64_t> per_class;  ///< at least 1
};

/// Draws samples whose label is not negative, with classes as equal as possible: every class gives
/// the same number, a class with fewer samples gives all, and where the total is no multiple of the
/// number of classes, some give one more. Which classes these are, and which samples of a class,
/// depends on the seed and the samples' indices alone; what a smaller quota draws is part of what a
/// larger one draws. Returns ascending indices into `labels`. Refuses, naming the option
/// --label-fraction or --labels-per-class, a quota that leaves a class of the data without a sample
/// or exceeds the samples of a class.
std::vector<std::int64_t> draw_labeled(std::span<const std::int64_t> labels,
                                       const LabelQuota& quota, std::uint64_t seed);

/// Draws samples to hold out for validation: of each class the `fraction` (above 0, below 1),
/// rounded, but at least one, and never its last. As in draw_labeled(), the draw depends on the
/// seed and the samples' indices alone. Returns ascending indices into `labels`. Refuses, naming
/// `option`, data in which no class has two samples.
std::vector<std::int64_t> draw_validation(std::span<const std::int64_t> labels, double fraction,
                                          std::uint64_t seed, const char* option);

}  // namespace simclr
