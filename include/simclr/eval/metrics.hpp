#pragma once
// Metrics of scores, with the marks of shard_set.hpp.

#include <cstdint>
#include <optional>
#include <span>

#include "simclr/io/shard_set.hpp"

namespace simclr {

/// 11-point average precision of one class, as in PASCAL VOC 2007:
///   (1/11) sum over r in {0, 0.1, ..., 1} of the largest precision at a recall of r or more,
/// with samples ranked by score, the largest first, and ignored ones left out. Samples of equal
/// score count together: a threshold accepts all of them or none, so that their order does not
/// matter. `scores` and `marks` have one entry for each sample. Empty without a present sample.
std::optional<double> average_precision_11(std::span<const double> scores,
                                           std::span<const std::uint8_t> marks);

/// Mean of average_precision_11() over the classes that have a present sample; both matrices are
/// (samples, classes). Empty if no class has one.
std::optional<double> mean_average_precision_11(std::span<const double> scores,
                                                std::span<const std::uint8_t> marks,
                                                std::int64_t classes);

}  // namespace simclr
