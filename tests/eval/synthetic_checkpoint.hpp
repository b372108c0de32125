#pragma once

#include <cstdint>

#include "simclr/io/checkpoint.hpp"
#include "simclr/train/model_description.hpp"

namespace simclr {

/// Makes a checkpoint of an untrained encoder: initial weights, but random scales, shifts and
/// running statistics, so that a test notices if one of them is ignored.
Checkpoint synthetic_checkpoint(const ModelDescription& model, std::uint64_t seed);

}  // namespace simclr
