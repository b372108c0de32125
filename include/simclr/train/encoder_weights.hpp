#pragma once
// Weights that come from outside of a run: those of a checkpoint, or of a file that `export` wrote.

#include <filesystem>
#include <optional>
#include <string>

#include "simclr/augment/augmentation.hpp"
#include "simclr/comm/communicator.hpp"
#include "simclr/io/checkpoint.hpp"
#include "simclr/train/model_description.hpp"

namespace simclr {

struct EncoderTraining;

struct EncoderWeights {
  std::filesystem::path file;
  ModelDescription model;
  /// Parameters and running statistics in the program's layouts, the configuration of the run (""
  /// in an exported file), and a checksum.
  Checkpoint checkpoint;
  // How they were trained; unset if the file does not say.
  std::optional<Interpolation> interpolation{};
  std::optional<double> pretraining_decay{};  ///< see below
};

/// Reads a checkpoint file, or the newest valid checkpoint of a run directory. Throws RefusedError.
EncoderWeights read_checkpoint_weights(const std::filesystem::path& run_or_file);
/// The same on all ranks, of which only rank 0 reads. Collective.
EncoderWeights read_checkpoint_weights(const std::filesystem::path& run_or_file,
                                       Communicator& world);

/// The weight decay that a run's weights have had since they were random; unset if the run began
/// with other weights.
std::optional<double> pretraining_decay(const EncoderTraining& run);

/// Sets how a checkpoint's weights were trained, from the options of its run.
void read_how_trained(EncoderWeights& weights);

/// Reads a file that `export` wrote, with or without a projection head. Throws RefusedError, naming
/// the file, if it is none, or lacks the metadata that describe model and preprocessing.
EncoderWeights read_exported_weights(const std::filesystem::path& file);

/// Reorders filters from (K,R,S,C) to OIHW, as exported files have them; other tensors stay.
NamedTensor channels_first(NamedTensor tensor);

/// Reads the description of a checkpoint's model. Throws RefusedError, naming `origin`, if the
/// checkpoint lacks a tensor of the model, or one has another shape.
ModelDescription require_model(const Checkpoint& checkpoint, const std::string& origin);

/// Refuses weights that lack a tensor of the encoder or of the head's first `head_layers` layers.
void require_layers(const EncoderWeights& weights, int head_layers);

}  // namespace simclr
