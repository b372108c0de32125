#pragma once
// The options and the task of `pretrain`, shared by every command that takes them (preview, plan,
// bench step).

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "simclr/nn/model.hpp"
#include "simclr/train/training_config.hpp"

namespace simclr {

enum class StemChoice : std::uint8_t { automatic, imagenet, cifar };
enum class LossKind : std::uint8_t { nt_xent };
enum class Recompute : std::uint8_t { none, blocks };

/// Options of encoder and projection head, and how they are computed.
struct ModelOptions {
  std::string encoder = "resnet50";
  double width = 1;
  StemChoice stem = StemChoice::automatic;
  bool projection_shortcut_everywhere = false;
  PoolPadding pool_padding = PoolPadding::torchvision;
  HeadSpec head;
  std::string bn_group = "global";
  double bn_decay = 0.9;
  Recompute recompute = Recompute::none;
};

struct LossOptions {
  LossKind loss = LossKind::nt_xent;
  double temperature = 0.1;
};

struct AugmentOptions {
  std::vector<std::string> augment{"crop", "flip", "color", "gray", "blur"};
  double color_strength = 1;
  bool additive_brightness = false;
  Interpolation interpolation = Interpolation::bicubic;
  std::vector<double> mean, std;
};

/// The options of `pretrain`. Defaults are the paper's ImageNet settings.
struct PretrainConfig : TrainingConfig, ModelOptions, LossOptions, AugmentOptions {
  [[nodiscard]] const char* command() const override { return "pretrain"; }
  [[nodiscard]] std::unique_ptr<TrainingConfig> with_defaults() const override;
  void declare(Options& options) override;

  void validate() const override;
  void validate_ranks(int world_size) const override;

  [[nodiscard]] AugmentationConfig augmentation() const override;
  [[nodiscard]] int views_per_sample() const override { return 2; }
  [[nodiscard]] ModelDescription model() const override;
  [[nodiscard]] Objective objective() const override;
  [[nodiscard]] Task task(int rank, int world_size) const override;

  [[nodiscard]] EncoderSpec encoder_spec() const;
  /// The spec of one rank's training program. Call it with a resolved precision. Refuses options
  /// that do not fit the number of ranks.
  [[nodiscard]] PretrainingSpec program_spec(int rank, int world_size) const;
  /// Batch norm groups on `world_size` ranks. Refuses a group size that neither divides a rank's
  /// samples nor is a multiple of them.
  [[nodiscard]] BatchNormSpec batch_norm_spec(int world_size) const;
};

}  // namespace simclr
