#include "simclr/eval/features.hpp"

namespace simclr {

LabeledFeatures gather_rows(Communicator& world, const LabeledFeatures& part) {
  LabeledFeatures whole{.channels = part.channels};
  for (int owner = 0; owner < world.size(); ++owner) {
    const auto values = broadcast_list(world, part.values, owner);
    const auto labels = broadcast_list(world, part.labels, owner);
    whole.values.insert(whole.values.end(), values.begin(), values.end());
    whole.labels.insert(whole.labels.end(), labels.begin(), labels.end());
  }
  return whole;
}

std::int64_t sum_over_ranks(Communicator& world, std::int64_t value) {
  auto sum = static_cast<double>(value);  // exact below 2^53
  world.all_reduce(buffer_span(std::span(&sum, 1)), Reduction::sum);
  return static_cast<std::int64_t>(sum);
}

}  // namespace simclr
