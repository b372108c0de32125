#pragma once
// Features of a data set, spread over the ranks.

#include <cstdint>
#include <span>
#include <vector>

#include "simclr/comm/communicator.hpp"

namespace simclr {

/// The consecutive rows of a feature matrix (samples, C) that one rank holds, with their labels.
/// The ranks' parts in rank order make the whole data set; a part may be empty.
struct LabeledFeatures {
  std::int64_t channels = 0;         ///< C, the same on all ranks
  std::vector<float> values;         ///< f32 (rows, C)
  std::vector<std::int64_t> labels;  ///< rows; empty for unlabeled data

  [[nodiscard]] std::int64_t rows() const {
    return static_cast<std::int64_t>(values.size()) / channels;
  }
};

/// Fractions of samples whose label is the highest-ranked class, and among the five highest. With
/// five classes or fewer top5 is 1 by definition.
struct Accuracy {
  double top1 = 0;  ///< fractions in [0, 1]
  double top5 = 0;
  std::int64_t samples = 0;
};

/// Returns the whole matrix on every rank. Collective.
LabeledFeatures gather_rows(Communicator& world, const LabeledFeatures& part);

/// Returns the number of rows that each rank holds, given this rank's. Collective.
std::vector<std::int64_t> rows_of_ranks(Communicator& world, std::int64_t rows);
/// Returns the number of rows that the ranks before this one hold. Collective.
std::int64_t first_row(Communicator& world, std::int64_t rows);
/// 1 / sqrt(sum of squares), finite for a sum of 0.
double inverse_norm(double sum_of_squares);
/// Scales every row to unit length; a row of zeros stays zero.
std::vector<float> normalized_rows(const LabeledFeatures& features);

/// Returns the sum of `value` over all ranks. Collective.
std::int64_t sum_over_ranks(Communicator& world, std::int64_t value);
/// Replaces every value by its sum over all ranks. Collective.
void sum_over_ranks(Communicator& world, std::span<double> values);

/// Returns the elements of all ranks' parts, in rank order, on every rank. Collective.
template <class T>
std::vector<T> gather_parts(Communicator& world, const std::vector<T>& part) {
  std::vector<T> whole;
  whole.reserve(static_cast<std::size_t>(sum_over_ranks(world, std::ssize(part))));
  for (int owner = 0; owner < world.size(); ++owner) {
    const auto of_owner =
        broadcast_list(world, owner == world.rank() ? part : std::vector<T>(), owner);
    whole.insert(whole.end(), of_owner.begin(), of_owner.end());
  }
  return whole;
}

}  // namespace simclr
