#pragma once
// The options and the task of `pretrain`, shared by every command that takes them (preview, plan,
// bench step).

#include <cstdint>
#include <memory>

#include "simclr/nn/model.hpp"
#include "simclr/train/encoder_training.hpp"

namespace simclr {

enum class LossKind : std::uint8_t { nt_xent };

struct LossOptions {
  LossKind loss = LossKind::nt_xent;
  double temperature = 0.1;
};

/// The options of `pretrain`. Defaults are the paper's ImageNet settings.
struct PretrainConfig : EncoderTraining, LossOptions {
  [[nodiscard]] const char* command() const override { return "pretrain"; }
  [[nodiscard]] std::unique_ptr<TrainingConfig> with_defaults() const override;
  [[nodiscard]] std::unique_ptr<EncoderTraining> copy() const override;
  void declare(Options& options) override;

  [[nodiscard]] int views_per_sample() const override { return 2; }
  [[nodiscard]] Objective objective() const override;
  [[nodiscard]] Task task(int rank, int world_size) const override;

  /// The spec of one rank's training program. Call it with a resolved precision. Refuses options
  /// that do not fit the number of ranks.
  [[nodiscard]] PretrainingSpec program_spec(int rank, int world_size) const;
};

}  // namespace simclr
