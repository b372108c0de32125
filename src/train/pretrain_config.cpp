#include "simclr/train/pretrain_config.hpp"

#include <algorithm>

#include "simclr/core/check.hpp"

namespace simclr {
namespace {

constexpr std::int64_t kCifarStemUpToPixels = 32;

std::optional<std::array<float, 3>> channels(const std::vector<double>& values) {
  if (values.empty()) return {};
  return std::array{static_cast<float>(values[0]), static_cast<float>(values[1]),
                    static_cast<float>(values[2])};
}

}  // namespace

std::unique_ptr<TrainingConfig> PretrainConfig::with_defaults() const {
  return std::make_unique<PretrainConfig>();
}

void PretrainConfig::validate() const {
  if (mean.empty() != std.empty())
    refuse("options --mean and --std go together: give both or none");
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
