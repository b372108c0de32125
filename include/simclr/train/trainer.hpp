#pragma once
// One training step on this rank: the program of record_pretraining on a backend, its
// communicators, its state.

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "simclr/backend/executor.hpp"
#include "simclr/comm/communicator.hpp"
#include "simclr/io/checkpoint.hpp"
#include "simclr/train/pretrain_config.hpp"

namespace simclr {

struct StepResult {
  double loss = 0;              ///< the paper's L, over the global batch
  double contrastive_top1 = 0;  ///< share of views whose partner is the nearest
  double entropy = 0;           ///< mean, of the softmax over the other views
  double learning_rate = 0;
  double seconds_forward = 0, seconds_backward = 0, seconds_update = 0;
};

/// Collective to create and to use: all ranks make the same calls.
class Trainer {
 public:
  /// `threads` compute threads; the schedule is that of `steps_per_epoch`. Parameters start from
  /// the configuration's seed.
  Trainer(const PretrainConfig& config, std::int64_t steps_per_epoch, int threads,
          Communicator& world);

  /// Step `step` (0-based) on this rank's views f32 (2n,S,S,3), view v of sample i at row v*n + i.
  /// Throws Error naming the first offending op when loss or gradients are not finite; parameters
  /// are then as before the step.
  StepResult step(std::span<const float> views, std::int64_t step);
  /// The same, printing every op's statistics (rank 0).
  StepResult step_traced(std::span<const float> views, std::int64_t step);

  /// Parameters, statistics and optimiser state by name; step, seed, texts are the caller's.
  /// Throws Error when a parameter is not finite.
  [[nodiscard]] Checkpoint state() const;
  /// Takes over rank 0's checkpoint on every rank; other ranks pass null. Throws RefusedError,
  /// naming `origin` and the tensor, when the checkpoint is of another model.
  void restore(const Checkpoint* checkpoint, const std::string& origin);

  [[nodiscard]] Executor& executor() { return *executor_; }
  [[nodiscard]] std::string_view backend_name() const { return backend_->name(); }
  [[nodiscard]] std::int64_t views_per_rank() const { return 2 * spec_.local_samples; }

 private:
  void upload(std::span<const float> views, std::int64_t step);
  [[nodiscard]] StepResult read_losses(std::int64_t step) const;
  void require_finite(const StepResult& result, std::int64_t step);
  [[noreturn]] void name_offender(const std::string& what, std::int64_t step);

  PretrainingSpec spec_;
  Schedule schedule_;
  Communicator& control_;
  std::unique_ptr<Communicator> world_, bn_group_, gradient_lane_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Executor> executor_;
};

}  // namespace simclr
