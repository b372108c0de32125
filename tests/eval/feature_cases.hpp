#pragma once

#include <cmath>
#include <cstdint>

#include "simclr/core/random.hpp"
#include "simclr/eval/features.hpp"

namespace simclr {

/// Makes overlapping clusters, one for each class, with channels of different scales; about 80 %
/// can be classified.
inline LabeledFeatures clustered_features(std::int64_t rows, std::int64_t channels,
                                          std::int32_t classes, std::uint32_t stream_id) {
  LabeledFeatures features{channels, {}, {}};
  PhiloxStream noise(7, RandomPurpose::kInitialization, stream_id, 0);
  for (std::int64_t i = 0; i < rows; ++i) {
    const auto label = static_cast<std::int32_t>(noise.below(static_cast<std::uint32_t>(classes)));
    PhiloxStream center(7, RandomPurpose::kInitialization, 1000 + static_cast<std::uint32_t>(label),
                        1);
    features.labels.push_back(label);
    for (std::int64_t c = 0; c < channels; ++c) {
      const float scale = std::exp2(static_cast<float>(c % 7) - 3);
      const float spread = noise.uniform(-1, 1) + noise.uniform(-1, 1) + noise.uniform(-1, 1);
      features.values.push_back(scale * (center.uniform(-1, 1) + spread + 0.3F));
    }
  }
  return features;
}

/// Returns this rank's contiguous part; the parts are of different size: rank 0 of several gets
/// only a few rows.
inline LabeledFeatures part_of(const LabeledFeatures& whole, int rank, int ranks) {
  const auto boundary = [&](int r) -> std::int64_t {
    if (r == 0) return 0;
    return r == ranks ? whole.rows() : 3 + (whole.rows() - 3) * (r - 1) / (ranks - 1);
  };
  const auto begin = boundary(rank);
  const auto end = boundary(rank + 1);
  return {
      whole.channels,
      {whole.values.begin() + begin * whole.channels, whole.values.begin() + end * whole.channels},
      {whole.labels.begin() + begin, whole.labels.begin() + end}};
}

}  // namespace simclr
