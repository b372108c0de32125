#pragma once
// Block and channel counts of ResNets (He et al. 2016, torchvision's v1.5).

#include <array>
#include <cstdint>

#include "simclr/nn/model.hpp"

namespace simclr::nn {

std::array<int, 4> blocks_per_group(const EncoderSpec& spec);
bool is_bottleneck(const EncoderSpec& spec);
/// Ratio of a block's output channels to its inner channels: 4 for bottlenecks, else 1.
int expansion(const EncoderSpec& spec);
/// round(base * width), at least 1.
std::int64_t channels_of(const EncoderSpec& spec, std::int64_t base);

}  // namespace simclr::nn
