#pragma once

#include <filesystem>

#include "simclr/eval/frozen_encoder.hpp"

namespace simclr {

/// All ranks' features as one HDF5 file, in sample order: `h` f32 (N,C), `sample_index` i64 (N),
/// with head `z` f32 (N,D), of labelled data `labels` i64 (N); attributes `format`
/// ("simclr-features"), `version`, `encoder`, `checkpoint`, `checkpoint_hash`, `step`. Rank 0
/// writes, a rank's part at a time. Collective.
void write_features(const std::filesystem::path& file, const ExtractedFeatures& part,
                    const FrozenEncoder& encoder, Communicator& world);

}  // namespace simclr
