#pragma once
// Training steps on this rank: the program of record_pretraining on a backend, its communicators,
// its state.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "simclr/backend/executor.hpp"
#include "simclr/comm/communicator.hpp"
#include "simclr/io/checkpoint.hpp"
#include "simclr/train/pretrain_config.hpp"

namespace simclr {

/// Where the time of a step went, by the host's clock.
struct PhaseSeconds {
  double forward = 0, backward = 0, update = 0;
};

struct StepResult {
  double loss = 0;              ///< the paper's L, over the global batch
  double contrastive_top1 = 0;  ///< share of views whose partner is the nearest
  double entropy = 0;           ///< mean, of the softmax over the other views
  double learning_rate = 0;
  std::optional<PhaseSeconds> phases;       ///< unset on a GPU, where the step is one graph
  std::optional<LossScaling> loss_scaling;  ///< after the step; set in fp16
};

enum class TraceOps : bool { off, on };

/// Collective to create and to use: all ranks make the same calls.
///
/// Order of events for step k on batch b(k): stage(b(k)) precedes start_step(k) precedes
/// finish_step(), which returns the result of step k. stage(b(k+1)) comes after start_step(k), and
/// best before finish_step(): a GPU copies it while it computes. A batch's memory stays as it is
/// until its start_step() has returned.
class Trainer {
 public:
  /// The schedule is that of `steps_per_epoch`. Parameters start from the configuration's seed, and
  /// its precision is resolved. `input` says what batches to expect beside rendered views: its
  /// rendering, image sizes and resident data; the rest is filled in here.
  Trainer(const PretrainConfig& config, std::int64_t steps_per_epoch, Backend& backend,
          Communicator& world, InputStageSpec input = {});

  /// Hands over this rank's part of the next step's batch.
  void stage(const InputBatch& batch);
  /// Sets step `step` (0-based) going on the staged batch, forward to update; with a trace it
  /// prints every op's statistics (rank 0).
  void start_step(std::int64_t step, TraceOps trace = TraceOps::off);
  /// Waits for it. Throws Error naming the first offending op when loss or gradients are not
  /// finite; parameters are then as before the step. In fp16 a gradient that is not finite skips
  /// the update and halves the loss scale instead, as long as that can help.
  StepResult finish_step();

  /// Parameters, statistics, optimiser state and loss scaling; step, seed, texts are the caller's.
  /// Throws Error when a parameter is not finite.
  [[nodiscard]] Checkpoint state() const;
  /// Takes over rank 0's checkpoint on every rank; other ranks pass null. Throws RefusedError,
  /// naming `origin` and the tensor, when the checkpoint is of another model.
  void restore(const Checkpoint* checkpoint, const std::string& origin);

  [[nodiscard]] Executor& executor() { return *executor_; }
  [[nodiscard]] const Executor& executor() const { return *executor_; }
  [[nodiscard]] std::int64_t views_per_rank() const { return 2 * spec_.local_samples; }

 private:
  [[nodiscard]] std::unique_ptr<Executor> make_executor() const;
  void write_control(std::int64_t step);
  [[nodiscard]] StepResult read_losses() const;
  [[noreturn]] void name_offender(const std::string& what);

  PretrainingSpec spec_;
  Schedule schedule_;
  std::optional<LossScaling> loss_scaling_;
  Communicator& control_;
  Backend& backend_;
  std::unique_ptr<Communicator> bn_ranks_;  // on the control plane, as control_ is
  std::unique_ptr<Communicator> world_, bn_group_, gradient_lane_;
  std::unique_ptr<Executor> executor_;
  std::unique_ptr<InputStage> input_;
  // Of the step under way.
  std::int64_t step_ = 0;
  std::optional<PhaseSeconds> phases_;
};

}  // namespace simclr
