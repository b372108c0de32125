#pragma once

#include <cstdint>

#include "simclr/io/image_file.hpp"
#include "simclr/train/pretrain_config.hpp"

namespace simclr {

/// Draws the first `groups` samples of the first batch: each sample's stored image (its central
/// square) and its two views, without --mean and --std. Reads only these samples. Throws
/// RefusedError for a data set that cannot be read.
Image augmented_pairs(const PretrainConfig& config, std::int64_t groups);

}  // namespace simclr
