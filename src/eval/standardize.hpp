#pragma once

#include <vector>

#include "simclr/eval/features.hpp"

namespace simclr {

/// Per-channel mean and deviation of a feature matrix that is spread over the ranks.
struct ChannelScale {
  std::vector<double> mean, deviation;
};

/// Two passes, accumulated in f64 (collective). A channel that hardly varies (under 1e-4 of the
/// root mean square deviation of all) gets that bound as its deviation: dividing by its own would
/// raise rounding noise to the height of the others.
ChannelScale channel_scale(const LabelledFeatures& part, Communicator& world);

/// x = (h - mean) / deviation, in place.
void standardise(LabelledFeatures& part, const ChannelScale& scale);

}  // namespace simclr
