#include "simclr/eval/features.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>

#include "simclr/core/check.hpp"

namespace simclr {

LabeledFeatures gather_rows(Communicator& world, const LabeledFeatures& part) {
  require(std::ssize(part.values) == part.rows() * part.channels,
          "features must have rows x channels values");
  return {.channels = part.channels,
          .values = gather_parts(world, part.values),
          .labels = gather_parts(world, part.labels)};
}

std::vector<std::int64_t> rows_of_ranks(Communicator& world, std::int64_t rows) {
  std::vector<std::int64_t> all(static_cast<std::size_t>(world.size()));
  world.all_gather({&rows, sizeof(rows), DType::u8},
                   {all.data(), all.size() * sizeof(rows), DType::u8});
  return all;
}

std::int64_t first_row(Communicator& world, std::int64_t rows) {
  const std::vector<std::int64_t> all = rows_of_ranks(world, rows);
  return std::accumulate(all.begin(), all.begin() + world.rank(), std::int64_t{0});
}

double inverse_norm(double sum_of_squares) {
  return 1 / std::max(std::sqrt(sum_of_squares), 1e-12);
}

std::vector<float> normalized_rows(const LabeledFeatures& features) {
  std::vector<float> unit(features.values);
  const auto channels = static_cast<std::size_t>(features.channels);
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < features.rows(); ++i) {
    const auto row = std::span(unit).subspan(static_cast<std::size_t>(i) * channels, channels);
    double sum = 0;
    for (const float value : row) sum += double{value} * value;
    const double scale = inverse_norm(sum);
    for (float& value : row) value = static_cast<float>(value * scale);
  }
  return unit;
}

void sum_over_ranks(Communicator& world, std::span<double> values) {
  world.all_reduce(buffer_span(values), Reduction::sum);
}

std::int64_t sum_over_ranks(Communicator& world, std::int64_t value) {
  auto sum = static_cast<double>(value);  // exact below 2^53
  world.all_reduce(buffer_span(std::span(&sum, 1)), Reduction::sum);
  return static_cast<std::int64_t>(sum);
}

}  // namespace simclr
