#include "simclr/train/encoder_training.hpp"

#include <algorithm>

#include "simclr/core/check.hpp"

namespace simclr {
namespace {

// Refuses values that would become zero, infinite or not a number in 32 bits.
constexpr double kSmallestPixelScale = 1e-6;
constexpr double kLargestPixelValue = 1e18;

bool is_bn_group(const std::string& text) {
  std::int64_t samples = 0;
  return text == "global" || text == "local" || read_value(text, samples, at_least(1));
}

/// The items of a list in an option's text; one empty item if it is none.
std::vector<std::string> items_of(const std::string& text) {
  std::vector<std::string> items;
  if (!read_value(text, items, any_number())) items = {""};
  return items;
}

std::string problem_of_augmentation(const std::string& text) {
  AugmentationList list;
  return read_augmentation_list(items_of(text), list);
}

std::string problem_of_parameters(const std::string& text) {
  OpParameters parameters;
  return read_operation_parameters(items_of(text), parameters);
}

std::string allowed_operations() {
  return operation_names() + ", each once, as OP or OP:PROBABILITY, or none alone";
}

std::string allowed_parameters() {
  std::string names;
  for (const OpParameter& parameter : operation_parameters()) {
    names += fmt::format("{}{}", names.empty() ? "" : ",", parameter.name);
  }
  return names + ", each once, as OP.KEY=VALUE";
}

AugmentationList list_of(const std::vector<std::string>& items) {
  AugmentationList list;
  const std::string problem = read_augmentation_list(items, list);
  require(problem.empty(), "a list of operations has been checked by its declaration: " + problem);
  return list;
}

constexpr const char* kSameOps = "same";

/// Refuses parameters of operations that make no view.
void require_used_parameters(const AugmentOptions& augment) {
  std::vector<std::string> lists = augment.augment;
  lists.insert(lists.end(), augment.augment_second.begin(), augment.augment_second.end());
  if (augment.base_crop) lists.emplace_back("crop");
  for (const std::string& item : augment.augment_params) {
    const std::string op = item.substr(0, item.find('.'));
    const bool is_used = std::ranges::any_of(
        lists, [&](const std::string& used) { return used.substr(0, used.find(':')) == op; });
    if (is_used) continue;
    refuse(
        "option --augment-params: {} belongs to {}, which no list of operations has; add it to "
        "--augment, or leave the parameter out",
        item.substr(0, item.find('=')), op);
  }
}

constexpr std::int64_t kCifarStemUpToPixels = 32;

std::optional<std::array<float, 3>> channels(const std::vector<double>& values) {
  if (values.empty()) return {};
  return std::array{static_cast<float>(values[0]), static_cast<float>(values[1]),
                    static_cast<float>(values[2])};
}

}  // namespace

void declare_encoder(Options& options, EncoderOptions& encoder) {
  options.add("encoder", encoder.encoder, "ResNet to train")
      .known(known_encoders())
      .add("width", encoder.width,
           "multiplies the number of channels of every layer of the encoder")
      .range(at_least(kNarrowestEncoder).at_most(kWidestEncoder))
      .choice<StemChoice>("stem", encoder.stem,
                          {{"auto", StemChoice::automatic},
                           {"imagenet", StemChoice::imagenet},
                           {"cifar", StemChoice::cifar}},
                          "first layers of the encoder. imagenet: 7x7 convolution of stride 2 and "
                          "max pooling; cifar: 3x3 convolution of stride 1; auto: cifar for views "
                          "of up to 32 pixels, else imagenet")
      .flag("projection-shortcut", encoder.projection_shortcut_everywhere,
            "use a 1x1 convolution as shortcut in the first block of every group, as Google's "
            "SimCLR code does, instead of only where the shape changes")
      .choice<PoolPadding>("pool-padding", encoder.pool_padding,
                           {{"torchvision", PoolPadding::torchvision}, {"same", PoolPadding::same}},
                           "where the windows of the imagenet stem's max pooling begin. "
                           "torchvision: one pixel before the image; same: as in TensorFlow, at "
                           "its first pixel if the number of pixels is even")
      .add(
          "sk-ratio", encoder.sk_ratio,
          "SimCLRv2's selective kernels, with the stem and shortcuts of ResNet-D: channels of the "
          "bottleneck that weighs two streams, as part of those of a stream (0.0625 in the paper); "
          "0: none")
      .range(at_least(0).at_most(1));
}

void declare_head(Options& options, EncoderOptions& encoder) {
  options
      .choice<HeadKind>("head", encoder.head.kind,
                        {{"nonlinear", HeadKind::nonlinear},
                         {"linear", HeadKind::linear},
                         {"none", HeadKind::none}},
                        "projection head between encoder and loss. nonlinear: linear layers with "
                        "batch norm and ReLU between them; linear: one layer; none: the loss "
                        "takes the encoder's output")
      .add("head-layers", encoder.head.layers, "number of linear layers of a nonlinear head")
      .range(at_least(1).at_most(kMostHeadLayers))
      .add("head-width", encoder.head.hidden,
           "channels of the head's hidden layers; 0: as many as the encoder's output has")
      .range(at_least(0).at_most(kMostHeadChannels))
      .add("embedding-dim", encoder.head.embedding,
           "dimension of the embedding z that the loss compares")
      .range(at_least(1).at_most(kMostHeadChannels));
}

void declare_batch_norm(Options& options, BatchNormOptions& batch_norm) {
  options
      .add("bn-group", batch_norm.bn_group,
           "views over which batch norm takes its statistics. global: those of all ranks; local: "
           "those of each rank alone; K: those of K images of the batch")
      .rule("global, local or a whole number of images, 1 or more", is_bn_group)
      .argument("GROUP")
      .add("bn-decay", batch_norm.bn_decay,
           "part of batch norm's running statistics that a step keeps; the rest are those of the "
           "step's batch")
      .range(at_least(0).below(1));
}

void declare_augmentation(Options& options, AugmentOptions& augment) {
  options
      .add("augment", augment.augment,
           "random operations that make a view, applied in this order, each with its usual "
           "probability or with the one after its colon; none: the resized image")
      .checked(allowed_operations(), problem_of_augmentation)
      .argument("OP[:P],..")
      .add("augment-params", augment.augment_params,
           "parameters of operations, such as cutout.size=0.3,blur.max-sigma=1; unset: their "
           "defaults")
      .checked(allowed_parameters(), problem_of_parameters)
      .argument("OP.KEY=X,..")
      .choice<AugmentSemantics>("augment-semantics", augment.augment_semantics,
                                {{"torchvision", AugmentSemantics::torchvision},
                                 {"tf-v1", AugmentSemantics::tf_v1},
                                 {"tf-v2", AugmentSemantics::tf_v2}},
                                "whose crop, resizing, color jitter and blur to follow. "
                                "torchvision: PyTorch's; tf-v1, tf-v2: those of Google's code of "
                                "the first and the second SimCLR")
      .add("color-strength", augment.color_strength,
           "strength s of the color jitter: brightness, contrast and saturation change by up to "
           "0.8 s, the hue by up to 0.2 s of a full turn")
      .range(at_least(0).at_most(kMostColorStrength))
      .flag("additive-brightness", augment.additive_brightness,
            "add to the brightness, as SimCLR v1's code does, instead of multiplying it")
      .choice<Interpolation>(
          "interpolation", augment.interpolation,
          {{"bicubic", Interpolation::bicubic}, {"bilinear", Interpolation::bilinear}},
          "filter with which the crop is resized to a view")
      .add("mean", augment.mean,
           "red, green and blue to subtract from a view's pixels, which lie in [0, 1]; goes with "
           "--std; unset: nothing")
      .range(at_least(-kLargestPixelValue).at_most(kLargestPixelValue).items(3))
      .argument("R,G,B")
      .add("std", augment.std,
           "red, green and blue by which the pixels are divided after that; goes with --mean")
      .range(at_least(kSmallestPixelScale).at_most(kLargestPixelValue).items(3))
      .argument("R,G,B");
}

void declare_branches(Options& options, AugmentOptions& augment) {
  options
      .add("augment-second", augment.augment_second,
           "operations of the second view. same: those of --augment; none: the image as both views "
           "begin with it; or a list like that of --augment")
      .checked("same, or " + allowed_operations(),
               [](const std::string& text) {
                 return text == kSameOps ? "" : problem_of_augmentation(text);
               })
      .argument("same|none|OP[:P],..")
      .choice<bool>("base-crop", augment.base_crop, {{"off", false}, {"on", true}},
                    "begin both views of an image with one random crop that they share; a crop in "
                    "a list is then a second one");
}

void declare_recompute(Options& options, EncoderTraining& training) {
  options
      .choice<Recompute>(
          "recompute", training.recompute,
          {{"none", Recompute::none}, {"blocks", Recompute::blocks}},
          "activations to compute again in the backward pass instead of keeping them: "
          "less memory, more time, the same result. blocks: those within residual "
          "blocks")
      .may_change_on_resume();
}

void EncoderTraining::validate() const {
  validate_optimizer();
  const EncoderSpec spec = encoder_spec();
  const std::string problem = spec.sk_ratio > 0 ? selective_kernels_problem(spec) : "";
  if (!problem.empty()) refuse("option --sk-ratio: {}", problem);
  require_used_parameters(*this);
  const Augmenter checks_its_configuration(augmentation());
}

void EncoderTraining::validate_ranks(int world_size) const {
  TrainingConfig::validate_ranks(world_size);
  (void)batch_norm_spec(world_size);
}

EncoderSpec EncoderTraining::encoder_spec() const {
  EncoderSpec spec;
  spec.depth = parse_encoder_depth(encoder);
  spec.width = width;
  const bool small = image_size <= kCifarStemUpToPixels;
  const bool cifar = stem == StemChoice::cifar || (stem == StemChoice::automatic && small);
  spec.stem = cifar ? Stem::cifar : Stem::imagenet;
  spec.projection_shortcut_everywhere = projection_shortcut_everywhere;
  spec.pool_padding = pool_padding;
  spec.sk_ratio = sk_ratio;
  return spec;
}

ModelDescription EncoderTraining::model() const {
  return {.encoder = encoder_spec(),
          .head = head,
          .image_size = image_size,
          .mean = augmentation().mean,
          .std = augmentation().std};
}

AugmentationConfig EncoderTraining::augmentation() const {
  AugmentationConfig a;
  a.ops = list_of(augment);
  if (augment_second != std::vector<std::string>{kSameOps}) a.second_ops = list_of(augment_second);
  a.base_crop = base_crop;
  const std::string problem = read_operation_parameters(augment_params, a.parameters);
  require(problem.empty(), "parameters have been checked by their declaration: " + problem);
  a.semantics = augment_semantics;
  a.color_strength = color_strength;
  a.additive_brightness = additive_brightness;
  a.interpolation = interpolation;
  a.image_size = static_cast<int>(image_size);
  a.mean = channels(mean);
  a.std = channels(std);
  return a;
}

BatchNormSpec EncoderTraining::batch_norm_spec(int world_size) const {
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

}  // namespace simclr
