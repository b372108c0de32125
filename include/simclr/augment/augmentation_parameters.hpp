#pragma once
// What a view's random numbers decide, apart from the pixels: a pure function of
// (seed, epoch, sample, view).

#include <cstdint>

#include "simclr/augment/augmentation.hpp"
#include "simclr/core/random.hpp"

namespace simclr {

/// Largest sample index + 1 and largest epoch + 1 that the counters tell apart.
inline constexpr std::int64_t kMaxAugmentedSamples = std::int64_t{1} << 32;
inline constexpr std::int64_t kMaxAugmentedEpochs = std::int64_t{1} << 31;

/// The stream of one op of one view: an op that is switched off leaves the others' numbers alone.
/// The crop that both views share has a purpose of its own, as views of two epochs would meet.
inline PhiloxStream view_stream(const ViewKey& key, RandomPurpose purpose) {
  return {key.seed, purpose, static_cast<std::uint32_t>(key.sample), key.epoch * 2 + key.view};
}

/// Everything random about one view of an image of this height and width.
ViewParameters sample_view_parameters(const AugmentationConfig& config, const ViewKey& key,
                                      int height, int width);

}  // namespace simclr
