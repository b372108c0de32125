#pragma once
// Runs the training steps of one rank: a task's program on a backend, with its communicators.

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

/// Seconds of a step's phases by the host's clock.
struct PhaseSeconds {
  double forward = 0, backward = 0, update = 0;
};

enum class NotFinite : std::uint8_t { loss, gradient };

struct StepResult {
  std::int64_t step = 0;        ///< 0-based
  std::vector<double> metrics;  ///< of the task, in its order, for the global batch
  double learning_rate = 0;
  std::optional<PhaseSeconds> phases;       ///< unset on a GPU, where the step is one graph
  std::optional<LossScaling> loss_scaling;  ///< after the step; set in fp16
  /// What was not finite. Parameters are as before this step, and later steps do not change them.
  std::optional<NotFinite> not_finite;

  [[nodiscard]] double loss() const { return metrics.front(); }
};

enum class TraceOps : bool { off, on };

class StepExchange;

/// Runs training steps. All ranks make the same calls.
///
/// Order of calls for step k on batch b(k): stage(b(k)), start_step(k), and the finish_step() that
/// returns the result of step k. Call stage(b(k+1)) after start_step(k): a GPU copies it while it
/// computes. Leave a batch's memory unchanged until its start_step() has returned. Up to
/// max_in_flight() steps may be in flight: started but not finished.
class Trainer {
 public:
  Trainer(Task task, const TrainerOptions& options, Backend& backend, Communicator& world);
  ~Trainer();

  /// Stages every input of the next step, this rank's part of its batch; see Executor::stage.
  void stage(const ViewBatch& batch);
  /// Starts step `step` (0-based) on the staged batch, from forward pass to update. With
  /// TraceOps::on rank 0 prints statistics of every op's output.
  void start_step(std::int64_t step, TraceOps trace = TraceOps::off);
  /// Number of steps started but not finished.
  [[nodiscard]] int steps_in_flight() const { return static_cast<int>(in_flight_.size()); }
  /// 2 on a GPU, so that it never waits for the host; 1 on a CPU, and in fp16, where a step's
  /// result decides the loss scale of the next one.
  [[nodiscard]] int max_in_flight() const;
  /// Waits for the oldest step in flight. A non-finite gradient in fp16 skips the update and halves
  /// the loss scale if the scale is above 1; otherwise the result has `not_finite` set.
  StepResult finish_step();
  /// Throws Error naming the first op with a non-finite output. Stage the batch of that step again
  /// before the call.
  [[noreturn]] void explain_not_finite(const StepResult& result);

  /// Lists parameters, running statistics and optimizer state, without their values, and returns
  /// the loss scaling; the caller adds step, seed and texts. Throws Error if a parameter or
  /// statistic is not finite. Call it with no step in flight.
  [[nodiscard]] Checkpoint state() const;
  /// Reads the values of what state() lists; valid until the next step.
  [[nodiscard]] TensorValues state_values() const;
  /// Loads rank 0's checkpoint on every rank; other ranks pass null. Throws RefusedError, naming
  /// `origin` and the tensor, if the checkpoint is of another model.
  void restore(const Checkpoint* checkpoint, const std::string& origin);
  /// Loads parameters and running statistics of these parts in the same way.
  void load(const std::vector<Part>& parts, const Checkpoint* checkpoint,
            const std::string& origin);

  [[nodiscard]] Backend& backend() { return backend_; }
  [[nodiscard]] Executor& executor() { return *executor_; }
  [[nodiscard]] const Executor& executor() const { return *executor_; }
  [[nodiscard]] const Objective& objective() const { return task_.objective; }
  /// Rows of the tensor "views".
  [[nodiscard]] std::int64_t views_per_rank() const;

 private:
  [[nodiscard]] std::unique_ptr<Executor> make_executor();
  [[nodiscard]] std::vector<float> control(std::int64_t step) const;

  Task task_;  // its program has been moved into the executor
  Schedule schedule_;
  std::optional<LossScaling> loss_scaling_;
  Communicator& control_;
  Backend& backend_;
  std::unique_ptr<Communicator> bn_ranks_;  // between hosts, like control_
  std::unique_ptr<Communicator> world_, bn_group_, gradient_lane_;
  std::unique_ptr<Executor> executor_;
  std::unique_ptr<StepExchange> exchange_;
  struct InFlight {
    std::int64_t step = 0;
    std::optional<PhaseSeconds> phases;
  };
  std::deque<InFlight> in_flight_;
};

}  // namespace simclr
