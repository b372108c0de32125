#pragma once
// Features of a data set, spread over the ranks.

#include <cstdint>
#include <span>
#include <vector>

#include "simclr/comm/communicator.hpp"

namespace simclr {

/// The consecutive rows of a feature matrix (samples, C) that one rank holds, with their labels.
/// The ranks' parts in rank order make the whole data set; a part may be empty.
struct LabelledFeatures {
  std::int64_t channels = 0;         ///< C, the same on all ranks
  std::vector<float> values;         ///< f32 (rows, C)
  std::vector<std::int32_t> labels;  ///< rows; empty for unlabelled data

  [[nodiscard]] std::int64_t rows() const {
    return static_cast<std::int64_t>(values.size()) / channels;
  }
};

/// How often the label was the best guess and among the five best. With five classes or fewer
/// top5 is 1 by definition.
struct Accuracy {
  double top1 = 0;  ///< fractions in [0, 1]
  double top5 = 0;
  std::int64_t samples = 0;
};

/// The whole matrix on every rank (collective).
LabelledFeatures gather_rows(Communicator& world, const LabelledFeatures& part);

/// `value` of every rank added up (collective).
std::int64_t sum_over_ranks(Communicator& world, std::int64_t value);

}  // namespace simclr
