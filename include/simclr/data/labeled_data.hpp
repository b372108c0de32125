#pragma once
// The labeled samples of the data sets that a classifier is evaluated on.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "simclr/data/loader.hpp"
#include "simclr/io/fingerprint.hpp"

namespace simclr {

inline constexpr std::int64_t kMostClasses = 1 << 24;

/// Refuses labels of kMostClasses or more, naming `option` and the data set.
void require_class_count(const ShardSetInfo& data, const char* option);

/// A data set of an evaluation. Samples without a label are left out.
struct LabeledData {
  ShardSet set;
  Fingerprint fingerprint;
  std::filesystem::path path = set.info().path;
  ShardSetInfo info = set.info();
  std::vector<std::int64_t> samples;  ///< those that have a label, in stored order
  std::vector<std::int64_t> labels;   ///< of these, numbered as in the training data
  bool as_stored = true;              ///< every sample has a label, and it is the stored one
  // Multi-label data: all samples are taken, and `labels` is empty; see set.marks().

  [[nodiscard]] std::int64_t labeled() const { return std::ssize(samples); }
  [[nodiscard]] std::int64_t unlabeled() const { return info.samples - labeled(); }
};

/// Opens a data set, the same on all ranks. Refuses one without labels, or with labels of 2^24 or
/// more, naming `option`. Unless `accepts_marks`, also refuses multi-label data. Collective.
LabeledData open_labeled(const std::filesystem::path& directory, const char* option,
                         Communicator& world, bool accepts_marks = false);

/// Numbers the classes of the test data as the training data do: by name if both name their
/// classes, else by number. Refuses classes that the training data lack, and multi-label data
/// unless both are multi-label with the same classes. `option` names the test data.
void match_classes(const ShardSetInfo& train, LabeledData& test, const char* option = "test-data");

/// Shows only the labeled samples of `store`, which holds the same data set.
std::unique_ptr<SampleStore> only_labeled(std::unique_ptr<SampleStore> store,
                                          const LabeledData& data);

}  // namespace simclr
