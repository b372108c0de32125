#pragma once
// Training steps on this rank: a task's program on a backend, its communicators, its state.

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "simclr/backend/executor.hpp"
#include "simclr/comm/communicator.hpp"
#include "simclr/io/checkpoint.hpp"
#include "simclr/train/task.hpp"

namespace simclr {

/// Where the time of a step went, by the host's clock.
struct PhaseSeconds {
  double forward = 0, backward = 0, update = 0;
};

enum class NotFinite : std::uint8_t { loss, gradient };

struct StepResult {
  std::int64_t step = 0;        ///< 0-based
  std::vector<double> metrics;  ///< of the task, in its order, over the global batch
  double learning_rate = 0;
  std::optional<PhaseSeconds> phases;       ///< unset on a GPU, where the step is one graph
  std::optional<LossScaling> loss_scaling;  ///< after the step; set in fp16
  /// Parameters are as before this step, and no step changes them any more.
  std::optional<NotFinite> not_finite;

  [[nodiscard]] double loss() const { return metrics.front(); }
};

enum class TraceOps : bool { off, on };

class StepExchange;

/// Collective to create and to use: all ranks make the same calls.
///
/// Order of events for step k on batch b(k): stage(b(k)) precedes start_step(k) precedes the
/// finish_step() that returns the result of step k. stage(b(k+1)) comes after start_step(k): a GPU
/// copies it while it computes. A batch's memory stays as it is until its start_step() has
/// returned. Up to most_under_way() steps may be started and not yet finished.
class Trainer {
 public:
  Trainer(Task task, const TrainerOptions& options, Backend& backend, Communicator& world);
  ~Trainer();

  /// Hands over every input of the next step, this rank's part of its batch: see Executor::stage.
  void stage(const ViewBatch& batch);
  /// Sets step `step` (0-based) going on the staged batch, forward to update; with a trace it
  /// prints every op's statistics (rank 0).
  void start_step(std::int64_t step, TraceOps trace = TraceOps::off);
  /// Steps that have been started and not finished.
  [[nodiscard]] int steps_under_way() const { return static_cast<int>(under_way_.size()); }
  /// 2 on a GPU, which so never waits for the host; 1 on a CPU, and in fp16, where the result of a
  /// step says how the next one is scaled.
  [[nodiscard]] int most_under_way() const;
  /// Waits for the oldest of them. In fp16 a gradient that is not finite skips the update and
  /// halves the loss scale, as long as that can help; else the result says `not_finite`.
  StepResult finish_step();
  /// Throws Error naming the first op of a step that was not finite; its batch is staged again.
  [[noreturn]] void explain_not_finite(const StepResult& result);

  /// Parameters, statistics, optimiser state and loss scaling; step, seed, texts are the caller's.
  /// Throws Error when a parameter is not finite. No step is under way.
  [[nodiscard]] Checkpoint state() const;
  /// Takes over rank 0's checkpoint on every rank; other ranks pass null. Throws RefusedError,
  /// naming `origin` and the tensor, when the checkpoint is of another model.
  void restore(const Checkpoint* checkpoint, const std::string& origin);

  [[nodiscard]] Executor& executor() { return *executor_; }
  [[nodiscard]] const Executor& executor() const { return *executor_; }
  [[nodiscard]] const Objective& objective() const { return task_.objective; }
  /// Rows of the tensor "views".
  [[nodiscard]] std::int64_t views_per_rank() const;

 private:
  [[nodiscard]] std::unique_ptr<Executor> make_executor();
  [[nodiscard]] std::array<float, 4> control(std::int64_t step) const;

  Task task_;  // its program has moved into the executor
  Schedule schedule_;
  std::optional<LossScaling> loss_scaling_;
  Communicator& control_;
  Backend& backend_;
  std::unique_ptr<Communicator> bn_ranks_;  // on the control plane, as control_ is
  std::unique_ptr<Communicator> world_, bn_group_, gradient_lane_;
  std::unique_ptr<Executor> executor_;
  std::unique_ptr<StepExchange> exchange_;
  struct UnderWay {
    std::int64_t step = 0;
    std::optional<PhaseSeconds> phases;
  };
  std::deque<UnderWay> under_way_;
};

}  // namespace simclr
