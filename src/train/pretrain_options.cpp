#include <algorithm>

#include "simclr/train/pretrain_config.hpp"

namespace simclr {
namespace {

// At least 4 of the first layer's 64 channels: with 3, backends would take activations for images.
constexpr double kNarrowest = 4.0 / 64;
// Far wider than any real network: refuses typing errors before they overflow.
constexpr double kWidest = 256;
constexpr int kMostHeadLayers = 100;

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
      .range(at_least(kNarrowest).at_most(kWidest))
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
      .range(at_least(0))
      .add("embedding-dim", c.head.embedding, "dimension of the embedding z that the loss compares")
      .range(at_least(1));
}

void declare_objective(Options& o, PretrainConfig& c) {
  o.group("batch and loss")
      .add("batch-size", c.batch_size,
           "images of a step, summed over all ranks; each gives 2 views")
      .range(at_least(1))
      .add("bn-group", c.bn_group,
           "views over which batch norm takes its statistics. global: those of all ranks; local: "
           "those of each rank alone; K: those of K images of the batch")
      .rule("global, local or a whole number of images, 1 or more", is_bn_group)
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
      .range(any_number().items(3))
      .add("std", c.std,
           "red, green and blue by which the pixels are divided after that; goes with --mean")
      .range(above(0).items(3));
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

}  // namespace

void PretrainConfig::declare(Options& options) {
  declare_data_options(options, *this);
  declare_model(options, *this);
  declare_objective(options, *this);
  declare_optimizer_options(options, *this);
  declare_device(options, *this);
  declare_run_options(options, *this);
}

}  // namespace simclr
