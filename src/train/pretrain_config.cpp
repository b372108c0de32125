#include "simclr/train/pretrain_config.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "simclr/core/names.hpp"

namespace simclr {
namespace {

constexpr std::int64_t kCifarStemUpToPixels = 32;
// Four of the first layer's 64 channels: backends take activations of three channels for images.
constexpr double kNarrowest = 4.0 / 64;
// Far beyond what anybody trains: typing errors end here and not in arithmetic.
constexpr double kWidest = 256;
constexpr int kMostHeadLayers = 100;
constexpr std::int64_t kMostEpochs = 1'000'000'000;

const std::vector<std::string>& known_augmentations() {
  static const std::vector<std::string> names{"crop", "flip", "color", "gray", "blur", "none"};
  return names;
}

template <class T>
void require_at_least(const char* option, T value, T least) {
  if (!(value >= least) || !std::isfinite(static_cast<double>(value))) {
    refuse("option --{}: {} is not accepted; allowed: {} or more", option, value, least);
  }
}

template <class T>
void require_at_most(const char* option, T value, T most) {
  if (value > most) {
    refuse("option --{}: {} is not accepted; allowed: up to {}", option, value, most);
  }
}

template <class T>
void require_positive(const char* option, T value) {
  if (!(value > 0) || !std::isfinite(static_cast<double>(value))) {
    refuse("option --{}: {} is not accepted; allowed: above 0", option, value);
  }
}

void validate_augmentation(const PretrainConfig& c) {
  for (const std::string& name : c.augment) {
    require_known("augmentation of --augment", name, known_augmentations());
    if (std::count(c.augment.begin(), c.augment.end(), name) > 1) {
      refuse("option --augment: '{}' stands there twice", name);
    }
  }
  const bool none = std::count(c.augment.begin(), c.augment.end(), "none") > 0;
  if (none && c.augment.size() > 1) {
    refuse("option --augment: 'none' goes with no other augmentation");
  }
  require_at_least("color-strength", c.color_strength, 0.0);
  for (const auto* values : {&c.mean, &c.std}) {
    if (!values->empty() && values->size() != 3) {
      refuse("options --mean and --std: allowed: three numbers r,g,b");
    }
  }
  for (const double value : c.std) require_positive("std", value);
}

void validate_run(const PretrainConfig& c) {
  require_positive("epochs", c.epochs);
  require_at_most("epochs", c.epochs, kMostEpochs);
  if (c.max_steps) require_at_least<std::int64_t>("max-steps", *c.max_steps, 0);
  simclr::validate(c.device);
  require_at_least("loader-threads", c.loader_threads, 0);
  require_positive("log-every", c.log_every);
  require_at_least<std::int64_t>("checkpoint-every-epochs", c.checkpoint_every_epochs, 0);
  require_at_least("checkpoint-every-minutes", c.checkpoint_every_minutes, 0.0);
  require_at_least("keep", c.keep, 1);
  require_at_least<std::int64_t>("hash-every", c.hash_every, 0);
  require_at_least<std::int64_t>("divergence-steps", c.divergence_steps, 0);
  if (c.stop_before_minutes) require_at_least("stop-before-minutes", *c.stop_before_minutes, 0.0);
  for (const std::int64_t step : c.checkpoint_steps) {
    require_at_least<std::int64_t>("checkpoint-steps", step, 0);
  }
}

/// K of --bn-group K.
std::int64_t parse_group_samples(const std::string& text) {
  std::int64_t samples = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, samples);
  if (error != std::errc() || rest != end || samples < 1) {
    refuse("option --bn-group: '{}' is not accepted; allowed: global, local or a number of samples",
           text);
  }
  return samples;
}

std::optional<std::array<float, 3>> channels(const std::vector<double>& values) {
  if (values.empty()) return {};
  return std::array{static_cast<float>(values[0]), static_cast<float>(values[1]),
                    static_cast<float>(values[2])};
}

std::int64_t samples_per_rank(const PretrainConfig& c, int world_size) {
  if (c.batch_size % world_size != 0) {
    refuse("option --batch-size: {} cannot be divided among {} ranks; choose a multiple of {}",
           c.batch_size, world_size, world_size);
  }
  return c.batch_size / world_size;
}

}  // namespace

void PretrainConfig::validate() const {
  require_positive("image-size", image_size);
  parse_encoder_depth(encoder);
  require_positive("width", width);
  require_at_least("width", width, kNarrowest);
  require_at_most("width", width, kWidest);
  require_at_least("head-layers", head.layers, 1);
  require_at_most("head-layers", head.layers, kMostHeadLayers);
  require_at_least<std::int64_t>("head-width", head.hidden, 0);
  require_positive("embedding-dim", head.embedding);
  require_positive("batch-size", batch_size);
  require_positive("temperature", temperature);
  require_at_least("learning-rate", learning_rate, 0.0);
  require_at_least("warmup-epochs", warmup_epochs, 0.0);
  require_at_least("weight-decay", weight_decay, 0.0);
  if (!(momentum >= 0 && momentum < 1)) {
    refuse("option --momentum: {} is not accepted; allowed: 0 or more, below 1", momentum);
  }
  validate_augmentation(*this);
  const Augmenter refuses_what_it_cannot_render(augmentation());
  validate_run(*this);
}

void PretrainConfig::validate_ranks(int world_size) const {
  (void)samples_per_rank(*this, world_size);
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

OptimizerSpec PretrainConfig::optimizer_spec() const {
  OptimizerSpec spec;
  spec.kind = optimizer;
  spec.momentum = static_cast<float>(momentum);
  spec.weight_decay = static_cast<float>(weight_decay);
  return spec;
}

Schedule PretrainConfig::schedule(std::int64_t steps_per_epoch) const {
  Schedule s;
  s.peak = scaled_learning_rate(learning_rate, lr_scaling, batch_size);
  s.warmup_steps = std::llround(warmup_epochs * static_cast<double>(steps_per_epoch));
  s.total_steps = steps_per_epoch * epochs;
  return s;
}

BatchNormSpec PretrainConfig::batch_norm_spec(int world_size) const {
  BatchNormSpec spec;
  if (bn_group == "local") return spec;
  if (bn_group == "global") {
    spec.ranks_per_group = world_size;
    return spec;
  }
  const std::int64_t group = parse_group_samples(bn_group);
  const std::int64_t local = samples_per_rank(*this, world_size);
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
  spec.local_samples = samples_per_rank(*this, world_size);
  spec.image_size = image_size;
  spec.temperature = static_cast<float>(temperature);
  spec.activations = activation_type(device.precision);
  spec.recompute_blocks = recompute == Recompute::blocks;
  spec.rank = rank;
  spec.world_size = world_size;
  return spec;
}

void validate_data(const PretrainConfig& config, const ShardSetInfo& data) {
  if (config.batch_size > data.samples) {
    refuse("option --batch-size: {} is more than the {} images of {}", config.batch_size,
           data.samples, config.data.string());
  }
}

}  // namespace simclr
