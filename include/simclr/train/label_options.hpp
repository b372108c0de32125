#pragma once
// The labeled samples that a command trains on, and the options that choose them.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "simclr/comm/communicator.hpp"
#include "simclr/core/options.hpp"
#include "simclr/data/loader.hpp"
#include "simclr/io/shard_set.hpp"

namespace simclr {

/// At most one of `labels_file`, `label_fraction` and `labels_per_class` is set; if none is, every
/// labeled sample is taken.
struct LabelOptions {
  std::filesystem::path labels_file;
  std::optional<double> label_fraction;
  std::optional<std::int64_t> labels_per_class;
  std::uint64_t label_seed = 1;
  std::string labels_hash;  ///< of the samples chosen; set by the program

  /// Names of the options that choose samples and are given.
  [[nodiscard]] std::vector<std::string> choices() const;
  /// Refuses two choices at once.
  void validate_labels() const;
};
void declare_label_options(Options& options, LabelOptions& labels);

/// The samples chosen, in ascending order.
struct LabeledSamples : SampleChoice {
  std::int64_t labeled = 0;  ///< samples with a label in the whole data set
  std::string hash;          ///< of `samples`
  /// The fewest and the most samples of a class, of those that the data have.
  std::int64_t fewest_of_class = 0, most_of_class = 0;

  [[nodiscard]] std::int64_t size() const { return std::ssize(samples); }
};

/// Chooses samples, the same on all ranks. Refuses data without labels, a choice that the data
/// cannot meet, and one whose hash is not `labels_hash`, if that is set. Collective.
LabeledSamples choose_labeled(const LabelOptions& options, const ShardSet& data,
                              Communicator& world);

}  // namespace simclr
