#include "training_loop.hpp"

#include <array>

#include "checkpointer.hpp"
#include "divergence.hpp"
#include "simclr/core/activity.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"

namespace simclr {
namespace {

using Clock = std::chrono::steady_clock;

/// What all ranks do after a step.
struct Decision {
  std::optional<Stop> stop;
  bool checkpoint = false;
};

/// Agrees on a Decision among all ranks: a signal may reach only one of them, and their clocks
/// differ. Sums the bytes in `reading` over all ranks.
Decision agree(Communicator& control, const Checkpointer& checkpointer, const Deadline& deadline,
               ReadStatistics& reading) {
  const std::string reason = reason_to_stop(deadline);
  std::array<double, 4> sums{reason.empty() ? 0.0 : 1.0, checkpointer.due_by_time() ? 1.0 : 0.0,
                             static_cast<double>(reading.bytes_read),
                             static_cast<double>(reading.bytes_fetched)};
  control.all_reduce({sums.data(), sums.size(), DType::f64}, Reduction::sum);
  reading.bytes_read = static_cast<std::uint64_t>(sums[2]);
  reading.bytes_fetched = static_cast<std::uint64_t>(sums[3]);
  Decision decision{.checkpoint = sums[1] > 0};
  if (sums[0] > 0) decision.stop = agree_on_stop(reason, control);
  return decision;
}

/// Makes a DivergenceWatch on every rank that knows the logged losses of the steps before `first`.
DivergenceWatch make_divergence_watch(const TrainingConfig& config, const Objective& objective,
                                      std::int64_t first, Communicator& world) {
  DivergenceWatch watch(objective.levels, config.divergence_steps);
  on_root(world, [&] {
    const auto losses =
        logged_values(config.run_dir / "metrics.jsonl", objective.metrics.front().name, first);
    for (const auto& [step, loss] : losses) watch.add(step, loss);
  });
  watch.resume_after(first);
  return broadcast_value(world, watch);
}

/// Ends the run with an Error. Sets newer checkpoints aside, so that a resumed run starts from the
/// newest one from before the divergence.
[[noreturn]] void stop_diverged(const DivergenceWatch& watch, const LossLevels& levels,
                                const Checkpointer& checkpointer, std::int64_t step,
                                Communicator& world, StateFile& state) {
  std::string usable;
  on_root(world, [&] {
    const auto newest = checkpointer.fall_back_to(watch.healthy_until());
    state.running(newest.value_or(0));
    usable = newest ? fmt::format("step {}", *newest) : "none";
  });
  fail_for(Cause::diverged,
           "step {}: the run has diverged: {}; newest checkpoint from before that: {}; lower "
           "--learning-rate or lengthen --warmup-epochs in a new --run-dir, or go on regardless "
           "with --divergence-steps 0",
           step, watch.reason(levels.guessing_text), broadcast_text(world, usable));
}

class TrainingLoop {
 public:
  TrainingLoop(TrainingConfig& config, const Span& span, const Deadline& deadline,
               TrainingLoader& loader, Trainer& trainer, Communicator& world, StateFile& state)
      : config_(config),
        span_(span),
        deadline_(deadline),
        loader_(loader),
        trainer_(trainer),
        world_(world),
        state_(state),
        checkpointer_(config, span.steps_per_epoch, world, state.fence()),
        objective_(trainer.objective()),
        divergence_(make_divergence_watch(config, objective_, span.first, world)),
        records_(config, objective_.metrics, span, state, world.rank() == 0) {}

  TrainingEnd run() {
    if (span_.first == 0 && checkpointer_.due_at(0)) save(0);
    Decision decision;
    std::int64_t step = span_.first;  // steps started so far
    stage_batch(step);
    while (step < span_.end && !decision.stop) {
      start_step(step++);
      stage_batch(step);
      decision = decide();
      const bool hash = config_.hash_every > 0 && step % config_.hash_every == 0;
      const bool checkpoint = decision.checkpoint || checkpointer_.due_at(step);
      const bool measures = !decision.stop && measures_after(step);
      const bool settle = decision.stop || hash || checkpoint || measures || step == span_.end;
      finish_steps(settle ? 0 : trainer_.max_in_flight() - 1);
      if (hash) {
        activity().begin("comparing weights");
        require_equal_weights(trainer_.executor(), step, world_);
      }
      if (measures) measure(step);
      if (checkpoint) save(step);
    }
    records_.finish();
    // A run of 0 steps saves the state that it has: the initial one, or that of --resume FILE.
    if (step > span_.first || step == 0 || lacks_checkpoint(step)) save(step);
    if (step < span_.end) return {.step = step, .stop = decision.stop};
    warn_of_nothing_learned();
    return {.step = step};
  }

 private:
  void stage_batch(std::int64_t step) {
    if (step >= span_.end) return;
    activity().begin("reading a batch");
    trainer_.stage(loader_.next());
  }

  void start_step(std::int64_t step) {
    activity().at_step(step + 1);
    activity().begin("computing");
    const bool traced = config_.trace_ops && step == span_.first;
    trainer_.start_step(step, traced ? TraceOps::on : TraceOps::off);
  }

  Decision decide() {
    activity().begin("agreeing on the next action");
    ReadStatistics reading = loader_.take_read_statistics();
    Decision decision = agree(world_, checkpointer_, deadline_, reading);
    records_.add_data_cost(loader_.take_stall_seconds(), reading);
    return decision;
  }

  /// Finishes all but the newest `in_flight` steps.
  void finish_steps(int in_flight) {
    while (trainer_.steps_in_flight() > in_flight) {
      activity().begin("finishing a step");
      const StepResult result = trainer_.finish_step();
      if (result.not_finite) {
        loader_.return_to(result.step);
        stage_batch(result.step);
        trainer_.explain_not_finite(result);
      }
      records_.add(result);
      warn_of_collapse(result);
      divergence_.add(result.step + 1, result.loss());
      if (divergence_.diverged()) {
        stop_diverged(divergence_, *objective_.levels, checkpointer_, result.step + 1, world_,
                      state_);
      }
    }
  }

  void warn_of_collapse(const StepResult& result) {
    const auto& collapse = objective_.collapse;
    if (warned_of_collapse_ || world_.rank() != 0 || !collapse) return;
    if (!(result.metrics[collapse->metric] <= collapse->at_most)) return;
    log::warning("step {}: {}", result.step + 1, collapse->warning);
    warned_of_collapse_ = true;
  }

  void warn_of_nothing_learned() const {
    if (world_.rank() != 0 || !divergence_.learned_nothing()) return;
    log::warning(
        "the loss has never been clearly better than guessing, {}: the model has learned next to "
        "nothing; compare the images and settings (simclr preview), and try another "
        "--learning-rate or more epochs",
        objective_.levels->guessing_text);
  }

  [[nodiscard]] bool lacks_checkpoint(std::int64_t step) {
    const auto file = checkpoint_path(config_.run_dir / "checkpoints", step);
    return broadcast_value(world_, !std::filesystem::exists(file));
  }

  [[nodiscard]] bool measures_after(std::int64_t step) const {
    return step % span_.steps_per_epoch == 0 &&
           config_.measures_after(step / span_.steps_per_epoch);
  }

  /// Comes before the checkpoint of the same step: a run that resumes from it has the row.
  void measure(std::int64_t step) {
    const auto start = Clock::now();
    activity().begin("measuring the model");
    const auto measured = config_.measure(step / span_.steps_per_epoch, trainer_, world_);
    records_.add_measurements(step, measured,
                              std::chrono::duration<double>(Clock::now() - start).count());
  }

  void save(std::int64_t step) {
    const auto start = Clock::now();
    activity().begin("writing a checkpoint");
    checkpointer_.write(trainer_, step, divergence_.healthy_until());
    state_.running(step);
    records_.add_checkpoint_seconds(std::chrono::duration<double>(Clock::now() - start).count());
  }

  TrainingConfig& config_;
  const Span& span_;
  const Deadline& deadline_;
  TrainingLoader& loader_;
  Trainer& trainer_;
  Communicator& world_;
  StateFile& state_;
  Checkpointer checkpointer_;
  const Objective& objective_;
  DivergenceWatch divergence_;
  Records records_;
  bool warned_of_collapse_ = false;
};

}  // namespace

TrainingEnd train(TrainingConfig& config, const Span& span, const Deadline& deadline,
                  TrainingLoader& loader, Trainer& trainer, Communicator& world, StateFile& state) {
  return TrainingLoop(config, span, deadline, loader, trainer, world, state).run();
}

}  // namespace simclr
