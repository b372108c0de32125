#include "simclr/train/trainer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <iostream>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "loss_scale.hpp"
#include "simclr/core/check.hpp"
#include "simclr/train/training_state.hpp"
#include "step_exchange.hpp"

namespace simclr {
namespace {

class Stopwatch {
 public:
  /// Seconds since the last call.
  double lap() {
    const auto now = std::chrono::steady_clock::now();
    return std::chrono::duration<double>(now - std::exchange(last_, now)).count();
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

std::string trace_line(const TensorTrace& t) {
  return fmt::format("{:5} {:<55} {:<30} min {: .4e} max {: .4e} mean {: .4e} not finite {}", t.op,
                     t.op_name, t.tensor_name, t.minimum, t.maximum, t.mean, t.not_finite);
}

/// Resets non-finite running statistics: left over from the failed step, they would hide the first
/// op that was non-finite.
void reset_nonfinite_statistics(Executor& executor) {
  const std::vector<float> initial = initial_running_statistics(executor.program());
  std::vector<float> running = executor.flat(Storage::running);
  for (std::size_t i = 0; i < running.size(); ++i) {
    if (!std::isfinite(running[i])) running[i] = initial[i];
  }
  executor.set_flat(Storage::running, running);
}

/// Returns rank 0's plans on every rank.
Plans broadcast_plans(const Plans& own, Communicator& world) {
  const std::string text = broadcast_text(world, nlohmann::json(own).dump());
  return nlohmann::json::parse(text).get<Plans>();
}

}  // namespace

Trainer::Trainer(Task task, const TrainerOptions& options, Backend& backend, Communicator& world)
    : task_(std::move(task)),
      schedule_(options.schedule),
      control_(world),
      backend_(backend),
      bn_ranks_(world.split(world.rank() / task_.ranks_per_bn_group)),
      world_(backend.make_communicator(world, Lane::compute)),
      bn_group_(backend.make_communicator(*bn_ranks_, Lane::compute)),
      gradient_lane_(backend.make_communicator(world, Lane::gradients)) {
  if (options.loss_scaling) loss_scaling_.emplace();
  // Rank 0 measures plans and the others adopt them, so that every rank runs the same algorithms
  // and gets the same bits.
  if (world.rank() == 0) executor_ = make_executor();
  backend.tune({}, broadcast_plans(backend.info().plans, world));
  if (world.rank() != 0) executor_ = make_executor();

  const Program& program = executor_->program();
  for (const Parameter& parameter : program.parameters) {
    if (std::ranges::find(options.loaded, parameter.part) != options.loaded.end()) continue;
    executor_->write_flat(Storage::parameters, program.info(parameter.value).offset,
                          initial_values(program, parameter, options.seed, options.threads));
  }
  executor_->set_flat(Storage::running, initial_running_statistics(program));
  exchange_ = std::make_unique<StepExchange>(*executor_, task_.results, backend);
}
Trainer::~Trainer() = default;

std::unique_ptr<Executor> Trainer::make_executor() {
  return std::make_unique<Executor>(
      std::move(task_.program), backend_,
      Communicators{world_.get(), bn_group_.get(), gradient_lane_.get()},
      ExecutorOptions{.stage_inputs = true});
}

std::int64_t Trainer::views_per_rank() const {
  const Program& program = executor_->program();
  return program.info(program.at("views")).shape[0];
}

void Trainer::stage(const ViewBatch& batch) {
  for (const Input& input : task_.inputs) {
    executor_->stage(executor_->program().at(input.tensor), input.values(batch));
  }
}

int Trainer::max_in_flight() const {
  return backend_.info().runs_ahead && !loss_scaling_ ? StepExchange::kSteps : 1;
}

void Trainer::start_step(std::int64_t step, TraceOps trace) {
  require(steps_in_flight() < max_in_flight(),
          "start_step() must not be called with max_in_flight() steps in flight");
  InFlight started{.step = step};
  executor_->commit();
  exchange_->send_control(control(step));
  if (trace == TraceOps::on) {
    executor_->run_traced(0, executor_->program().ops.size(), [&](const TensorTrace& line) {
      if (control_.rank() == 0) std::cout << trace_line(line) << '\n';
    });
  } else if (backend_.info().runs_ahead) {
    executor_->run_all();
  } else {
    Stopwatch watch;
    executor_->run_forward();
    const double forward = watch.lap();
    executor_->run_backward();
    const double backward = watch.lap();
    executor_->run_update();
    started.phases = {.forward = forward, .backward = backward, .update = watch.lap()};
  }
  exchange_->request_results();
  in_flight_.push_back(started);
}

std::vector<float> Trainer::control(std::int64_t step) const {
  const auto main = schedule_.control(step, task_.optimizer);
  std::vector<float> control(main.begin(), main.end());
  if (loss_scaling_) control[3] = static_cast<float>(loss_scaling_->scale);
  if (task_.probe_rate) {
    const Schedule schedule{.peak = *task_.probe_rate, .total_steps = schedule_.total_steps};
    const auto probe = schedule.control(step, kProbeOptimizer);
    control.insert(control.end(), probe.begin(), probe.end());
  }
  return control;
}

StepResult Trainer::finish_step() {
  require(!in_flight_.empty(), "finish_step() must be called with a step in flight");
  const InFlight finished = in_flight_.front();
  in_flight_.pop_front();
  const auto [results, verdict] = exchange_->wait_for_results();
  StepResult result{.step = finished.step,
                    .learning_rate = schedule_.learning_rate(finished.step),
                    .phases = finished.phases};
  for (const Metric& metric : task_.objective.metrics) {
    const double divisor =
        metric.count ? results[static_cast<std::size_t>(*metric.count)] : metric.divisor;
    result.metrics.push_back(results[static_cast<std::size_t>(metric.result)] / divisor);
  }
  // Loss and gradients are sums over all ranks, so every rank reaches the same verdict.
  const bool loss_is_finite = verdict[0] == 0;
  const bool gradient_is_finite = verdict[1] == 0;
  if (!loss_is_finite) {
    result.not_finite = NotFinite::loss;
  } else if (!gradient_is_finite && !(loss_scaling_ && may_be_too_large(*loss_scaling_))) {
    result.not_finite = NotFinite::gradient;
  }
  // Finish the copy of the batch staged last: the caller now stages another one for
  // explain_not_finite().
  if (result.not_finite) executor_->commit();
  if (loss_scaling_) loss_scaling_ = after_step(*loss_scaling_, gradient_is_finite);
  result.loss_scaling = loss_scaling_;
  return result;
}

void Trainer::explain_not_finite(const StepResult& result) {
  reset_nonfinite_statistics(*executor_);
  executor_->commit();
  std::int32_t first_op = std::numeric_limits<std::int32_t>::max();
  std::string found;
  executor_->run_traced(0, executor_->program().update_begin, [&](const TensorTrace& trace) {
    if (trace.not_finite == 0 || !found.empty()) return;
    first_op = static_cast<std::int32_t>(trace.op);
    found =
        fmt::format("'{}' (op {}) writes {} non-finite values into '{}' on rank {}", trace.op_name,
                    trace.op, trace.not_finite, trace.tensor_name, control_.rank());
  });
  std::int32_t earliest = first_op;
  control_.all_reduce({&earliest, 1, DType::i32}, Reduction::min);
  const std::vector<std::string> all =
      gather_texts(control_, first_op == earliest ? found : std::string());
  const auto named = std::ranges::find_if(all, [](const std::string& t) { return !t.empty(); });
  const std::string culprit =
      named != all.end() ? *named : "none found when the step was run again op by op";
  fail_for(Cause::not_finite,
           "step {}: the {} is not finite; first offending op: {}; parameters are as before the "
           "step; {}",
           result.step + 1, result.not_finite == NotFinite::loss ? "loss" : "gradient", culprit,
           task_.advice);
}

Checkpoint Trainer::state() const {
  require(in_flight_.empty(), "state() must be called with no step in flight");
  for (const Storage storage : {Storage::parameters, Storage::running}) {
    if (!executor_->all_finite(storage)) {
      fail_for(Cause::not_finite, "no checkpoint is written: the {} are not finite",
               storage == Storage::parameters ? "parameters" : "running statistics");
    }
  }
  Checkpoint checkpoint = describe_state(*executor_);
  checkpoint.loss_scaling = loss_scaling_;
  return checkpoint;
}

TensorValues Trainer::state_values() const { return simclr::state_values(*executor_); }

void Trainer::load(const std::vector<Part>& parts, const Checkpoint* checkpoint,
                   const std::string& origin) {
  distribute_parts(*executor_, parts, checkpoint, origin, control_);
}

void Trainer::restore(const Checkpoint* checkpoint, const std::string& origin) {
  restore_state(*executor_, checkpoint, origin, control_);
  if (!loss_scaling_) return;
  if (checkpoint != nullptr) loss_scaling_ = checkpoint->loss_scaling.value_or(LossScaling{});
  loss_scaling_ = broadcast_value(control_, *loss_scaling_);
}

}  // namespace simclr
