#pragma once

#include <vector>

#include "simclr/eval/features.hpp"

namespace simclr {

/// Mean and standard deviation of each channel of a feature matrix spread over the ranks.
struct ChannelScale {
  std::vector<double> mean, deviation;
};

/// Computes them in two passes, accumulated in f64. Collective. A channel whose deviation is below
/// 1e-4 of the root mean square deviation of all gets that bound as its deviation: dividing by its
/// own would amplify rounding noise to the size of the other channels.
ChannelScale channel_scale(const LabeledFeatures& part, Communicator& world);

/// Replaces each value h by (h - mean) / deviation.
void standardize(LabeledFeatures& part, const ChannelScale& scale);

}  // namespace simclr
