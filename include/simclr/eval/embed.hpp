#pragma once

#include <filesystem>

#include "simclr/eval/frozen_encoder.hpp"

namespace simclr {

/// Writes all ranks' features to one HDF5 file, in sample order. Data sets: `h` f32 (N,C);
/// `sample_index` i64 (N); `z` f32 (N,D) if the head was run; `labels` i64 (N) if the data are
/// labeled. Attributes: `format` ("simclr-features"), `version`, `encoder`, `checkpoint`,
/// `checkpoint_hash`, `step`. Rank 0 writes one rank's part at a time. Collective.
void write_features(const std::filesystem::path& file, const ExtractedFeatures& part,
                    const FrozenEncoder& encoder, Communicator& world);

}  // namespace simclr
