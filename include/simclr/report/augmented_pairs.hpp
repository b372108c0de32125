#pragma once

#include <cstdint>

#include "simclr/io/image_file.hpp"
#include "simclr/train/pretrain_config.hpp"

namespace simclr {

/// A picture of `groups` samples, the first of the first batch, in training order: each sample's
/// stored image (its central square) and its two views, in true colours (without --mean and --std).
/// Reads these samples only. Refuses a data set that cannot be read.
Image augmented_pairs(const PretrainConfig& config, std::int64_t groups);

}  // namespace simclr
