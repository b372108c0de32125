#pragma once

#include <cstdint>

#include "simclr/io/checkpoint.hpp"
#include "simclr/train/model_description.hpp"

namespace simclr {

/// A checkpoint of an encoder that nobody trained: initial weights, but every scale, shift and
/// running statistic drawn at random, so that none of them can be left out unnoticed.
Checkpoint synthetic_checkpoint(const ModelDescription& model, std::uint64_t seed);

}  // namespace simclr
