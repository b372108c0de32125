#include <array>
#include <utility>

#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "simclr/core/system.hpp"
#include "simclr/train/classifier_config.hpp"
#include "simclr/train/trainer.hpp"
#include "simclr/train/training_state.hpp"

namespace simclr {
namespace {

/// Options that describe the model and the preprocessing of the weights.
constexpr std::array kOfWeights{"encoder",      "width",         "stem", "projection-shortcut",
                                "pool-padding", "sk-ratio",      "head", "head-layers",
                                "head-width",   "embedding-dim", "mean", "std"};

/// At most this part of the labels counts as few.
constexpr double kFewLabels = 0.02;
/// Below this weight decay, weights are so large that SGD suits them.
constexpr double kSmallWeightDecay = 1e-5;
/// With the stem for small images, batches are small, the more so with less samples than this.
constexpr std::int64_t kFewSamples = 1000;

}  // namespace

FinetuneConfig::FinetuneConfig() {
  augment = {"crop", "flip"};
  optimizer = OptimizerKind::sgd;
  nesterov = true;
  learning_rate = 0.05;
  warmup_epochs = 0;
  weight_decay = 0;
  epochs = 30;
}

std::unique_ptr<TrainingConfig> FinetuneConfig::with_defaults() const {
  return std::make_unique<FinetuneConfig>();
}

std::unique_ptr<EncoderTraining> FinetuneConfig::copy() const {
  return std::make_unique<FinetuneConfig>(*this);
}

void FinetuneConfig::declare(Options& options) {
  declare_all(options, [&] {
    options.group("weights and recipe")
        .add("checkpoint", checkpoint,
             "weights to begin with: a checkpoint, or a run directory, which stands for its newest "
             "valid checkpoint; a run that has begun does not need it")
        .argument("RUN_OR_FILE")
        .add("weights", weights,
             "weights to begin with, instead of --checkpoint: a .safetensors file that simclr "
             "export wrote")
        .argument("FILE")
        .add("weights-hash", weights_hash,
             "checksum of the weights to begin with, which the program stores with the run; when "
             "given, other weights are refused")
        .argument("HASH")
        .choice<Recipe>("recipe", recipe,
                        {{"auto", Recipe::automatic}, {"v1", Recipe::v1}, {"v2", Recipe::v2}},
                        "values of the options below that are not given. v1: SGD, learning rate "
                        "0.05 N/256; v2: LARS, learning rate 0.005 sqrt(N), the classifier left "
                        "out; both for 60 epochs with at most 2 % of the labels, else 30; auto: v1 "
                        "for weights pretrained with a weight decay below 1e-5, else v2")
        .add("from-head-layer", from_head_layer,
             "layer whose output the classifier reads. 0: h; K: the projection head's layer K; -1: "
             "z")
        .range(at_least(-1).at_most(kMostHeadLayers))
        .add("freeze", freeze,
             "keep the first layers as they are, batch norm in inference mode. -1: none; 0: the "
             "stem; 1 to 4: the stem and as many groups of blocks")
        .range(at_least(kNothingFrozen).at_most(kEncoderGroups));
    options.group("encoder and projection head (those of the weights)");
    declare_encoder(options, *this);
    declare_head(options, *this);
  });
}

void FinetuneConfig::validate() const {
  ClassifierConfig::validate();
  if (!checkpoint.empty() && !weights.empty()) {
    refuse(
        "options --checkpoint and --weights: give one of them, where the weights are; a run that "
        "has begun has its weights and needs neither");
  }
}

void FinetuneConfig::prepare_without_data(std::int64_t samples) {
  ClassifierConfig::prepare_without_data(samples);
  if (!checkpoint.empty() || !weights.empty()) {
    refuse(
        "option --{}: goes with --data; beside --samples, describe the weights by --encoder, "
        "--width and the other options of the encoder",
        checkpoint.empty() ? "weights" : "checkpoint");
  }
  if (recipe == Recipe::automatic) {
    refuse("option --recipe: auto needs weights; give v1 or v2 beside --samples");
  }
  apply_recipe(samples, samples);
  fit_batch(samples);
  validate();
}

EncoderWeights FinetuneConfig::read_weights() const {
  EncoderWeights found =
      weights.empty() ? read_checkpoint_weights(checkpoint) : read_exported_weights(weights);
  if (!weights_hash.empty() && weights_hash != found.checkpoint.checksum) {
    refuse("option --{}: {} has the checksum {}, but the run begins with weights of checksum {}",
           weights.empty() ? "checkpoint" : "weights", found.file.string(),
           found.checkpoint.checksum, weights_hash);
  }
  return found;
}

void FinetuneConfig::apply_recipe(std::int64_t samples, std::int64_t labeled) {
  const bool v2 = recipe == Recipe::v2;
  const bool few = static_cast<double>(samples) <= kFewLabels * static_cast<double>(labeled);
  const bool small_images = encoder_spec().stem == Stem::cifar;
  const char* const small_batch = samples < kFewSamples ? "64" : "256";
  set_defaults({{"optimizer", v2 ? "lars" : "sgd"},
                {"learning-rate", v2 ? "0.005" : "0.05"},
                {"lr-scaling", v2 ? "sqrt" : "linear"},
                {"batch-size", small_images ? small_batch : (v2 ? "1024" : "4096")},
                {"epochs", few ? "60" : "30"}});
  if (!is_given("nesterov")) nesterov = optimizer == OptimizerKind::sgd;
}

void FinetuneConfig::complete(OpenWeights open, const LabeledSamples& labeled) {
  const bool from_file = resume != "none" && resume != "auto";
  const bool has_begun =
      from_file || (resume != "none" && !list_checkpoints(run_dir / "checkpoints").empty());
  if (!has_begun && checkpoint.empty() && weights.empty()) {
    refuse(
        "option --checkpoint: missing; give RUN_OR_FILE, the weights to begin with, or --weights");
  }
  complete_ = has_begun || open == OpenWeights::yes;
  if (has_begun || !complete_) return;
  EncoderWeights from = read_weights();
  read_how_trained(from);
  take_over(from, kOfWeights);
  set_defaults({{"image-size", value_text(from.model.image_size)}});
  const int layers = from.model.head_layers();
  if (head_layers() > layers) {
    refuse("option --from-head-layer: {} is beyond the head of {}, which has {} layer{}{}",
           from_head_layer, from.file.string(), layers, layers == 1 ? "" : "s",
           from.model.has_embedding() ? "" : "; a classifier stands instead of the others");
  }
  require_layers(from, head_layers());
  weights_hash = from.checkpoint.checksum;
  if (recipe == Recipe::automatic) {
    if (!from.pretraining_decay) {
      refuse(
          "option --recipe: auto goes by the weight decay of pretraining, which {} does not tell; "
          "give v1 or v2",
          from.file.string());
    }
    recipe = *from.pretraining_decay < kSmallWeightDecay ? Recipe::v1 : Recipe::v2;
  }
  apply_recipe(labeled.size(), labeled.labeled);
  initial_ = std::make_shared<const EncoderWeights>(std::move(from));
}

std::string FinetuneConfig::result_details() const {
  return fmt::format(R"({{"recipe": "{}", "from_head_layer": {}, "freeze": {}}})",
                     recipe == Recipe::v2 ? "v2" : "v1", from_head_layer, freeze);
}

int FinetuneConfig::head_layers() const {
  return from_head_layer < 0 ? head.layer_count() : from_head_layer;
}

std::vector<Part> FinetuneConfig::initial_parts() const {
  return {Part::encoder, Part::projection_head};
}

void FinetuneConfig::load_initial_weights(Trainer& trainer, Communicator& world) {
  require(initial_ != nullptr || world.rank() != 0, "rank 0 has read the weights");
  const std::string origin = initial_ ? initial_->file.string() : "";
  log::info("training begins with the weights of {}", origin);
  trainer.load(initial_parts(), initial_ ? &initial_->checkpoint : nullptr, origin);
  initial_.reset();
  return_free_memory();
}

ClassifierInit FinetuneConfig::classifier_init() const {
  return {.stddev = 0, .regularized = recipe != Recipe::v2};
}

}  // namespace simclr
