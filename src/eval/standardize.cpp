#include "standardize.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace simclr {
namespace {

constexpr double kRelativeFloor = 1e-4;

/// Returns, for each channel, the sum of term(value, channel) over all ranks' rows, divided by
/// `count`.
template <class Term>
std::vector<double> channel_means(const LabeledFeatures& part, double count, Communicator& world,
                                  Term term) {
  const auto channels = static_cast<std::size_t>(part.channels);
  std::vector<double> sums(channels);
  for (std::size_t i = 0; i < part.values.size(); i += channels) {
    for (std::size_t c = 0; c < channels; ++c) sums[c] += term(part.values[i + c], c);
  }
  world.all_reduce(buffer_span(std::span(sums)), Reduction::sum);
  for (double& sum : sums) sum /= count;
  return sums;
}

}  // namespace

ChannelScale channel_scale(const LabeledFeatures& part, Communicator& world) {
  const auto count = static_cast<double>(sum_over_ranks(world, part.rows()));
  ChannelScale scale;
  scale.mean = channel_means(part, count, world, [](double x, std::size_t) { return x; });
  const auto variance = channel_means(part, count, world, [&](double x, std::size_t c) {
    return (x - scale.mean[c]) * (x - scale.mean[c]);
  });
  double mean_variance = 0;
  for (const double v : variance) mean_variance += v / static_cast<double>(variance.size());
  // If all features are equal, every channel becomes zero, whatever the divisor.
  const double floor = mean_variance > 0 ? kRelativeFloor * std::sqrt(mean_variance) : 1;
  for (const double v : variance) scale.deviation.push_back(std::max(std::sqrt(v), floor));
  return scale;
}

void standardize(LabeledFeatures& part, const ChannelScale& scale) {
  const auto channels = static_cast<std::size_t>(part.channels);
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < part.rows(); ++i) {
    float* row = part.values.data() + static_cast<std::size_t>(i) * channels;
    for (std::size_t c = 0; c < channels; ++c) {
      row[c] = static_cast<float>((row[c] - scale.mean[c]) / scale.deviation[c]);
    }
  }
}

}  // namespace simclr
