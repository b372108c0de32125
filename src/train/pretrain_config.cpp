#include "simclr/train/pretrain_config.hpp"

#include <algorithm>

#include "simclr/core/check.hpp"

namespace simclr {
namespace {

// Refuses values that would become zero, infinite or not a number in 32 bits.
constexpr double kSmallestPixelScale = 1e-6;
constexpr double kLargestPixelValue = 1e18;
// Many times the largest batch ever trained with.
constexpr double kMostSamples = 1 << 24;

bool is_bn_group(const std::string& text) {
  std::int64_t samples = 0;
  return text == "global" || text == "local" || read_value(text, samples, at_least(1));
}

/// Whether each name occurs once and "none" stands alone; known() checks the names themselves.
bool is_augmentation_list(const std::string& text) {
  std::vector<std::string> names;
  if (!read_value(text, names, any_number()) || names.empty()) return false;
  std::ranges::sort(names);
  const bool none = std::ranges::binary_search(names, "none");
  return std::ranges::adjacent_find(names) == names.end() && (!none || names.size() == 1);
}

void declare_model(Options& o, PretrainConfig& c) {
  o.group("encoder and projection head")
      .add("encoder", c.encoder, "ResNet to train")
      .known(known_encoders())
      .add("width", c.width, "multiplies the number of channels of every layer of the encoder")
      .range(at_least(kNarrowestEncoder).at_most(kWidestEncoder))
      .choice<StemChoice>("stem", c.stem,
                          {{"auto", StemChoice::automatic},
                           {"imagenet", StemChoice::imagenet},
                           {"cifar", StemChoice::cifar}},
                          "first layers of the encoder. imagenet: 7x7 convolution of stride 2 and "
                          "max pooling; cifar: 3x3 convolution of stride 1; auto: cifar for views "
                          "of up to 32 pixels, else imagenet")
      .flag("projection-shortcut", c.projection_shortcut_everywhere,
            "use a 1x1 convolution as shortcut in the first block of every group, as Google's "
            "SimCLR code does, instead of only where the shape changes")
      .choice<PoolPadding>("pool-padding", c.pool_padding,
                           {{"torchvision", PoolPadding::torchvision}, {"same", PoolPadding::same}},
                           "where the windows of the imagenet stem's max pooling begin. "
                           "torchvision: one pixel before the image; same: as in TensorFlow, at "
                           "its first pixel if the number of pixels is even")
      .choice<HeadKind>("head", c.head.kind,
                        {{"nonlinear", HeadKind::nonlinear},
                         {"linear", HeadKind::linear},
                         {"none", HeadKind::none}},
                        "projection head between encoder and loss. nonlinear: linear layers with "
                        "batch norm and ReLU between them; linear: one layer; none: the loss "
                        "takes the encoder's output")
      .add("head-layers", c.head.layers, "number of linear layers of a nonlinear head")
      .range(at_least(1).at_most(kMostHeadLayers))
      .add("head-width", c.head.hidden,
           "channels of the head's hidden layers; 0: as many as the encoder's output has")
      .range(at_least(0).at_most(kMostHeadChannels))
      .add("embedding-dim", c.head.embedding, "dimension of the embedding z that the loss compares")
      .range(at_least(1).at_most(kMostHeadChannels));
}

void declare_objective(Options& o, PretrainConfig& c) {
  o.group("batch and loss")
      .add("batch-size", c.batch_size,
           "images of a step, summed over all ranks; each gives 2 views, and the loss compares "
           "those of different images")
      .range(at_least(2).at_most(kMostSamples))
      .add("bn-group", c.bn_group,
           "views over which batch norm takes its statistics. global: those of all ranks; local: "
           "those of each rank alone; K: those of K images of the batch")
      .rule("global, local or a whole number of images, 1 or more", is_bn_group)
      .argument("GROUP")
      .add("bn-decay", c.bn_decay,
           "part of batch norm's running statistics that a step keeps; the rest are those of the "
           "step's batch")
      .range(at_least(0).below(1))
      .choice<LossKind>("loss", c.loss, {{"nt-xent", LossKind::nt_xent}},
                        "contrastive loss. nt-xent: the cross-entropy of finding the other view "
                        "of the same image in the batch")
      .add("temperature", c.temperature, "divides the cosine similarities in the loss")
      .range(above(0));
  o.group("augmentation")
      .add("augment", c.augment,
           "random operations that make a view, applied in this order whatever the order given; "
           "none: the resized image")
      .known({"crop", "flip", "color", "gray", "blur", "none"})
      .rule("any of crop,flip,color,gray,blur, each once, or none alone", is_augmentation_list)
      .add("color-strength", c.color_strength,
           "strength s of the color jitter: brightness, contrast and saturation change by up to "
           "0.8 s, the hue by up to 0.2 s of a full turn")
      .range(at_least(0).at_most(kMostColorStrength))
      .flag("additive-brightness", c.additive_brightness,
            "add to the brightness, as SimCLR v1's code does, instead of multiplying it")
      .choice<Interpolation>(
          "interpolation", c.interpolation,
          {{"bicubic", Interpolation::bicubic}, {"bilinear", Interpolation::bilinear}},
          "filter with which the crop is resized to a view")
      .add("mean", c.mean,
           "red, green and blue to subtract from a view's pixels, which lie in [0, 1]; goes with "
           "--std; unset: nothing")
      .range(at_least(-kLargestPixelValue).at_most(kLargestPixelValue).items(3))
      .argument("R,G,B")
      .add("std", c.std,
           "red, green and blue by which the pixels are divided after that; goes with --mean")
      .range(at_least(kSmallestPixelScale).at_most(kLargestPixelValue).items(3))
      .argument("R,G,B");
}

void declare_device(Options& o, PretrainConfig& c) {
  declare_training_device_options(o, c);
  o.choice<Recompute>("recompute", c.recompute,
                      {{"none", Recompute::none}, {"blocks", Recompute::blocks}},
                      "activations to compute again in the backward pass instead of keeping them: "
                      "less memory, more time, the same result. blocks: those within residual "
                      "blocks")
      .may_change_on_resume();
}

constexpr std::int64_t kCifarStemUpToPixels = 32;

std::optional<std::array<float, 3>> channels(const std::vector<double>& values) {
  if (values.empty()) return {};
  return std::array{static_cast<float>(values[0]), static_cast<float>(values[1]),
                    static_cast<float>(values[2])};
}

}  // namespace

void PretrainConfig::declare(Options& options) {
  declare_data_options(options, *this);
  declare_model(options, *this);
  declare_objective(options, *this);
  declare_optimizer_options(options, *this);
  declare_device(options, *this);
  declare_run_options(options, *this);
}

std::unique_ptr<TrainingConfig> PretrainConfig::with_defaults() const {
  return std::make_unique<PretrainConfig>();
}

void PretrainConfig::validate() const {
  validate_optimizer();
  const Augmenter checks_its_configuration(augmentation());
}

void PretrainConfig::validate_ranks(int world_size) const {
  TrainingConfig::validate_ranks(world_size);
  (void)batch_norm_spec(world_size);
}

EncoderSpec PretrainConfig::encoder_spec() const {
  EncoderSpec spec;
  spec.depth = parse_encoder_depth(encoder);
  spec.width = width;
  const bool small = image_size <= kCifarStemUpToPixels;
  const bool cifar = stem == StemChoice::cifar || (stem == StemChoice::automatic && small);
  spec.stem = cifar ? Stem::cifar : Stem::imagenet;
  spec.projection_shortcut_everywhere = projection_shortcut_everywhere;
  spec.pool_padding = pool_padding;
  return spec;
}

ModelDescription PretrainConfig::model() const {
  return {.encoder = encoder_spec(),
          .head = head,
          .image_size = image_size,
          .mean = augmentation().mean,
          .std = augmentation().std};
}

AugmentationConfig PretrainConfig::augmentation() const {
  const auto has = [&](const char* name) {
    return std::find(augment.begin(), augment.end(), name) != augment.end();
  };
  AugmentationConfig a;
  a.crop = has("crop");
  a.flip = has("flip");
  a.color = has("color");
  a.gray = has("gray");
  a.blur = has("blur");
  a.color_strength = color_strength;
  a.additive_brightness = additive_brightness;
  a.interpolation = interpolation;
  a.image_size = static_cast<int>(image_size);
  a.mean = channels(mean);
  a.std = channels(std);
  return a;
}

BatchNormSpec PretrainConfig::batch_norm_spec(int world_size) const {
  BatchNormSpec spec;
  spec.momentum = static_cast<float>(1 - bn_decay);
  if (bn_group == "local") return spec;
  if (bn_group == "global") {
    spec.ranks_per_group = world_size;
    return spec;
  }
  std::int64_t group = 0;
  require(read_value(bn_group, group, at_least(1)),
          "--bn-group must have been checked by its declaration");
  const std::int64_t local = samples_per_rank(world_size);
  if (batch_size % group == 0 && group % local == 0) {
    spec.ranks_per_group = static_cast<int>(group / local);
  } else if (local % group == 0) {
    spec.groups_per_rank = static_cast<int>(local / group);
  } else {
    refuse(
        "option --bn-group: {} samples neither divide nor are a multiple of the {} samples a rank "
        "holds (batch size {} on {} ranks)",
        group, local, batch_size, world_size);
  }
  return spec;
}

PretrainingSpec PretrainConfig::program_spec(int rank, int world_size) const {
  PretrainingSpec spec;
  spec.encoder = encoder_spec();
  spec.head = head;
  spec.batch_norm = batch_norm_spec(world_size);
  spec.optimizer = optimizer_spec();
  spec.local_samples = samples_per_rank(world_size);
  spec.image_size = image_size;
  spec.temperature = static_cast<float>(temperature);
  spec.activations = activation_type(device.precision);
  spec.recompute_blocks = recompute == Recompute::blocks;
  spec.rank = rank;
  spec.world_size = world_size;
  return spec;
}

Objective PretrainConfig::objective() const { return nt_xent_objective(batch_size, temperature); }

Task PretrainConfig::task(int rank, int world_size) const {
  const PretrainingSpec spec = program_spec(rank, world_size);
  return {.program = record_pretraining(spec),
          .objective = objective(),
          .inputs = {views_input()},
          .optimizer = spec.optimizer,
          .ranks_per_bn_group = spec.batch_norm.ranks_per_group,
          .advice = "lower --learning-rate, lengthen --warmup-epochs or check the data"};
}

}  // namespace simclr
