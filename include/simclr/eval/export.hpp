#pragma once
// Writes what other programs read: a checkpoint's weights, and features of a data set.

#include <filesystem>
#include <string>

#include "simclr/eval/frozen_encoder.hpp"
#include "simclr/io/checkpoint.hpp"
#include "simclr/io/safetensors.hpp"
#include "simclr/io/sample_names.hpp"
#include "simclr/nn/model.hpp"

namespace simclr {

enum class ExportParts : std::uint8_t { all, encoder };

/// Converts a checkpoint's encoder, head and classifier for other programs: torchvision's names,
/// filters reordered from (K,R,S,C) to OIHW, running statistics beside the weights; a classifier
/// that reads h is `fc`. Metadata: format version, step, encoder, preprocessing, and loading_hint()
/// if there is one. `origin` names the checkpoint in errors.
SafeTensors export_checkpoint(const Checkpoint& checkpoint, const std::string& origin,
                              ExportParts parts = ExportParts::all);

/// How torchvision's model of this encoder, or one of another width that is otherwise like it, must
/// be changed before it loads the weights; empty if it need not be. Without the change,
/// load_state_dict(strict=False) may succeed and the features be wrong.
std::string loading_hint(const EncoderSpec& encoder);

/// The lines of Python that load an exported file into torchvision's model, or a line that says
/// why none can.
std::string loading_code(const ModelDescription& model, const std::filesystem::path& file);

/// The `format` attribute of a file of features.
inline constexpr const char* kFeaturesFormat = "simclr-features";

/// Writes all ranks' features to one HDF5 file, in sample order. Data sets: `h` f32 (N,C),
/// or with the name of another layer; `sample_index` i64 (N); `z` f32 (N,D) if the head was run;
/// `labels` i64 (N) if the data are labeled; `names` u8 and `name_offsets` u64 (N+1), as in shards,
/// unless `names` is empty, which rank 0 passes. Attributes: `format` (kFeaturesFormat), `version`,
/// `encoder`, `checkpoint`, `checkpoint_hash`, `step`, `layer`. Rank 0 writes one rank's part at a
/// time. Collective.
void write_features(const std::filesystem::path& file, const ExtractedFeatures& part,
                    const SampleNames& names, const FrozenEncoder& encoder, Communicator& world);

}  // namespace simclr
