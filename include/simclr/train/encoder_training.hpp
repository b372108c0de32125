#pragma once
// What all commands that train an encoder have: its options, batch norm, and how views are made.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "simclr/nn/model.hpp"
#include "simclr/train/training_config.hpp"

namespace simclr {

enum class StemChoice : std::uint8_t { automatic, imagenet, cifar };
enum class Recompute : std::uint8_t { none, blocks };

struct EncoderOptions {
  std::string encoder = "resnet50";
  double width = 1;
  StemChoice stem = StemChoice::automatic;
  bool projection_shortcut_everywhere = false;
  PoolPadding pool_padding = PoolPadding::torchvision;
  double sk_ratio = 0;
  HeadSpec head;
};

struct BatchNormOptions {
  std::string bn_group = "global";
  double bn_decay = 0.9;
};

struct AugmentOptions {
  std::vector<std::string> augment{"crop", "flip", "color", "gray", "blur"};
  std::vector<std::string> augment_second{"same"};
  bool base_crop = false;
  std::vector<std::string> augment_params;
  AugmentSemantics augment_semantics = AugmentSemantics::torchvision;
  double color_strength = 1;
  bool additive_brightness = false;
  Interpolation interpolation = Interpolation::bicubic;
  std::vector<double> mean, std;
};

/// A command that trains an encoder.
struct EncoderTraining : TrainingConfig, EncoderOptions, BatchNormOptions, AugmentOptions {
  Recompute recompute = Recompute::none;

  [[nodiscard]] virtual std::unique_ptr<EncoderTraining> copy() const = 0;

  void validate() const override;
  void validate_ranks(int world_size) const override;

  [[nodiscard]] AugmentationConfig augmentation() const override;
  [[nodiscard]] ModelDescription model() const override;

  [[nodiscard]] EncoderSpec encoder_spec() const;
  /// Batch norm groups on `world_size` ranks. Refuses a group size that neither divides a rank's
  /// samples nor is a multiple of them.
  [[nodiscard]] BatchNormSpec batch_norm_spec(int world_size) const;
};

// Declarations of options that several commands have, below the heading set last.
void declare_encoder(Options& options, EncoderOptions& encoder);
void declare_head(Options& options, EncoderOptions& encoder);
void declare_batch_norm(Options& options, BatchNormOptions& batch_norm);
void declare_augmentation(Options& options, AugmentOptions& augment);
/// How the two views of an image differ: only where there are two.
void declare_branches(Options& options, AugmentOptions& augment);
void declare_recompute(Options& options, EncoderTraining& training);

/// The options of any command that trains an encoder, as a value: a copy has options of its own.
class AnyTraining {
 public:
  /// `command`: one of training_commands(), with its options at their defaults.
  explicit AnyTraining(std::string_view command);
  AnyTraining() : AnyTraining("pretrain") {}
  /// Implicit, so that any command's options can be assigned.
  AnyTraining(const EncoderTraining& training) : training_(training.copy()) {}  // NOLINT
  AnyTraining(const AnyTraining& other) : training_(other.training_->copy()) {}
  AnyTraining(AnyTraining&&) noexcept = default;
  AnyTraining& operator=(const AnyTraining& other) {
    training_ = other.training_->copy();
    return *this;
  }
  AnyTraining& operator=(AnyTraining&&) noexcept = default;
  ~AnyTraining() = default;

  EncoderTraining* operator->() { return training_.get(); }
  const EncoderTraining* operator->() const { return training_.get(); }
  EncoderTraining& operator*() { return *training_; }
  const EncoderTraining& operator*() const { return *training_; }

 private:
  std::unique_ptr<EncoderTraining> training_;
};

/// "pretrain", "finetune", "supervised".
const std::vector<std::string>& training_commands();

/// Reads a stored configuration (config.cfg, or that of a checkpoint), whose section names the
/// command. `origin` names it in errors.
AnyTraining read_training(const std::string& text, const std::string& origin);

}  // namespace simclr
