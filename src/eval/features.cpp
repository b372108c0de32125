#include "simclr/eval/features.hpp"

#include <cstddef>

#include "simclr/core/check.hpp"

namespace simclr {

LabeledFeatures gather_rows(Communicator& world, const LabeledFeatures& part) {
  const auto rows = static_cast<std::int32_t>(part.rows());
  std::vector<std::int32_t> rows_of(static_cast<std::size_t>(world.size()));
  world.all_gather(const_buffer_span(std::span(&rows, 1)), buffer_span(std::span(rows_of)));
  std::size_t total = 0;
  for (const auto count : rows_of) total += static_cast<std::size_t>(count);

  const auto channels = static_cast<std::size_t>(part.channels);
  LabeledFeatures whole{part.channels, std::vector<float>(total * channels),
                        std::vector<std::int32_t>(total)};
  std::size_t first = 0;
  for (int owner = 0; owner < world.size(); ++owner) {
    const auto count = static_cast<std::size_t>(rows_of[static_cast<std::size_t>(owner)]);
    const auto values = std::span(whole.values).subspan(first * channels, count * channels);
    const auto labels = std::span(whole.labels).subspan(first, count);
    if (owner == world.rank()) {
      require(part.values.size() == values.size(), "features must have rows x channels values");
      std::copy(part.values.begin(), part.values.end(), values.begin());
      std::copy(part.labels.begin(), part.labels.end(), labels.begin());
    }
    world.broadcast(buffer_span(values), owner);
    world.broadcast(buffer_span(labels), owner);
    first += count;
  }
  return whole;
}

std::int64_t sum_over_ranks(Communicator& world, std::int64_t value) {
  auto sum = static_cast<double>(value);  // exact below 2^53
  world.all_reduce(buffer_span(std::span(&sum, 1)), Reduction::sum);
  return static_cast<std::int64_t>(sum);
}

}  // namespace simclr
