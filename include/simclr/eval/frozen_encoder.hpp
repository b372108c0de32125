#pragma once
// A checkpoint's encoder, for programs that do not train it.

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "simclr/backend/executor.hpp"
#include "simclr/data/loader.hpp"
#include "simclr/eval/features.hpp"
#include "simclr/io/checkpoint.hpp"
#include "simclr/train/encoder_weights.hpp"

namespace simclr {

/// Where the weights of an encoder come from.
class EncoderSource {
 public:
  EncoderSource() = default;
  EncoderSource(const EncoderSource&) = default;
  EncoderSource& operator=(const EncoderSource&) = default;
  EncoderSource(EncoderSource&&) = default;
  EncoderSource& operator=(EncoderSource&&) = default;
  virtual ~EncoderSource() = default;

  [[nodiscard]] virtual const ModelDescription& model() const = 0;
  /// What the weights are, for messages.
  [[nodiscard]] virtual std::string origin() const = 0;
  /// Loads weights and running statistics into a program of this encoder. A classifier keeps its
  /// values.
  virtual void load_into(Executor& executor) const = 0;
};

/// The weights that a run trains, as they are now.
class EncoderInTraining final : public EncoderSource {
 public:
  EncoderInTraining(const Executor& training, const ModelDescription& model)
      : training_(&training), model_(model) {}

  [[nodiscard]] const ModelDescription& model() const override { return model_; }
  [[nodiscard]] std::string origin() const override { return "the model in training"; }
  void load_into(Executor& executor) const override;

 private:
  const Executor* training_;
  ModelDescription model_;
};

/// Has a checkpoint's weights on all ranks; rank 0 reads them. Collective. Throws RefusedError if
/// there is no valid checkpoint.
class FrozenEncoder final : public EncoderSource {
 public:
  FrozenEncoder(const std::filesystem::path& run_or_file, Communicator& world);

  [[nodiscard]] const ModelDescription& model() const override { return weights_.model; }
  [[nodiscard]] std::string origin() const override { return file().string(); }
  [[nodiscard]] const std::filesystem::path& file() const { return weights_.file; }
  [[nodiscard]] std::int64_t step() const { return weights_.checkpoint.step; }
  [[nodiscard]] const std::string& checksum() const { return weights_.checkpoint.checksum; }
  /// The options of the run that trained it, and its data's fingerprint; see Checkpoint.
  [[nodiscard]] const std::string& configuration() const {
    return weights_.checkpoint.configuration;
  }
  [[nodiscard]] const std::string& data() const { return weights_.checkpoint.data; }

  /// Loads the checkpoint's weights and running statistics into a program of this encoder. A
  /// classifier keeps its values. Throws RefusedError naming a tensor that does not fit.
  void load_into(Executor& executor) const override;
  /// The same, with the classifier that the model has.
  void load_all_into(Executor& executor) const;

 private:
  EncoderWeights weights_;
};

/// The layers of a model whose output features may be, in order: h, layer1 to layer4 (the same as
/// h), head1 and so on, z (the same as the last of these, or h without a head) if the model has it.
std::vector<std::string> feature_layers(const ModelDescription& model);
/// Refuses a name that is none of these as the value of --layer.
FeatureLayer parse_feature_layer(const std::string& name, const ModelDescription& model);

/// XXH3 hash of the encoder's weights and running statistics in an executor.
std::string encoder_hash(const Executor& executor);

struct ExtractionConfig {
  std::int64_t batch_size = 64;  ///< images that a rank encodes at a time
  DType activations = DType::f32;
  FeatureLayer layer;      ///< h by default
  bool with_head = false;  ///< compute z, too; only with the layer h
  int threads = 1;         ///< threads that prepare images
};

/// The encoder's program of record_features(), with the checkpoint's weights; z can be read.
Executor make_feature_executor(const EncoderSource& encoder, const ExtractionConfig& config,
                               Backend& backend);

/// Features of the evaluation images of this rank's part of a data set.
struct ExtractedFeatures {
  LabeledFeatures h;              ///< of the layer; labels are empty when the set is unlabeled
  std::string layer = "h";        ///< name of the layer
  std::int64_t first_sample = 0;  ///< global index of row 0
  std::int64_t embedding = 0;     ///< D; 0 without head
  std::vector<float> z;           ///< f32 (rows, D)
};

/// Runs the encoder in inference mode over the whole set, each rank on a contiguous part.
/// Collective. Throws Error if a feature is not finite.
ExtractedFeatures extract_features(const EncoderSource& encoder, SampleStore& store,
                                   const ExtractionConfig& config, Backend& backend,
                                   Communicator& world);

/// Loader configuration of this encoder's evaluation images, in the type of the activations.
EvaluationLoaderConfig evaluation_images(const ModelDescription& model, DType activations,
                                         std::int64_t batch_size, int threads,
                                         const Communicator& world);

}  // namespace simclr
