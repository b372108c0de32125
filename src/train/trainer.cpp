#include "simclr/train/trainer.hpp"
#include "simclr/backend/registry.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iostream>
#include <limits>

#include "simclr/core/check.hpp"
#include "training_state.hpp"

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

/// What a forward pass with NaN has made of the running statistics must not hide where it began.
void heal_running_statistics(Executor& executor) {
  const std::vector<float> initial = initial_running_statistics(executor.program());
  std::vector<float> running = executor.flat(Storage::running);
  for (std::size_t i = 0; i < running.size(); ++i) {
    if (!std::isfinite(running[i])) running[i] = initial[i];
  }
  executor.set_flat(Storage::running, running);
}

}  // namespace

Trainer::Trainer(const PretrainConfig& config, std::int64_t steps_per_epoch, int threads,
                 Communicator& world)
    : spec_(config.program_spec(world.rank(), world.size())),
      schedule_(config.schedule(steps_per_epoch)),
      control_(world),
      world_(world.duplicate()),
      bn_group_(world.split(world.rank() / spec_.batch_norm.ranks_per_group)),
      gradient_lane_(world.duplicate()),
      backend_(make_cpu_backend(threads)) {
  const Communicators communicators{world_.get(), bn_group_.get(), gradient_lane_.get()};
  executor_ = std::make_unique<Executor>(record_pretraining(spec_), *backend_, communicators);
  const Program& program = executor_->program();
  executor_->set_flat(Storage::parameters, initial_parameters(program, config.seed));
  executor_->set_flat(Storage::running, initial_running_statistics(program));
}

void Trainer::upload(std::span<const float> views, std::int64_t step) {
  const Program& program = executor_->program();
  executor_->upload(program.at("views"), const_buffer_span(views));
  const std::array<float, 4> control = schedule_.control(step, spec_.optimizer);
  executor_->upload(program.at("control"), const_buffer_span(std::span<const float>(control)));
}

StepResult Trainer::read_losses(std::int64_t step) const {
  std::array<double, 3> sums{};
  executor_->download(executor_->program().at("loss_sums"), buffer_span(std::span<double>(sums)));
  const auto views = static_cast<double>(views_per_rank() * spec_.world_size);
  StepResult result;
  result.loss = sums[0] / views;
  result.contrastive_top1 = sums[1] / views;
  result.entropy = sums[2] / views;
  result.learning_rate = schedule_.learning_rate(step);
  return result;
}

StepResult Trainer::step(std::span<const float> views, std::int64_t step) {
  Stopwatch watch;
  upload(views, step);
  executor_->run_forward();
  StepResult result = read_losses(step);
  result.seconds_forward = watch.lap();
  executor_->run_backward();
  result.seconds_backward = watch.lap();
  require_finite(result, step);
  executor_->run_update();
  result.seconds_update = watch.lap();
  return result;
}

StepResult Trainer::step_traced(std::span<const float> views, std::int64_t step) {
  const auto print = [&](const TensorTrace& trace) {
    if (control_.rank() == 0) std::cout << trace_line(trace) << '\n';
  };
  upload(views, step);
  const Program& program = executor_->program();
  executor_->run_traced(0, program.update_begin, print);
  const StepResult result = read_losses(step);
  require_finite(result, step);
  executor_->run_traced(program.update_begin, program.ops.size(), print);
  return result;
}

void Trainer::require_finite(const StepResult& result, std::int64_t step) {
  // Loss and gradients are sums over all ranks: every rank comes to the same verdict.
  if (!std::isfinite(result.loss)) name_offender("loss", step);
  if (!executor_->all_finite(Storage::gradients)) name_offender("gradient", step);
}

void Trainer::name_offender(const std::string& what, std::int64_t step) {
  heal_running_statistics(*executor_);
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
      named != all.end() ? *named : "running the step again op by op shows none";
  fail(
      "step {}: the {} is not finite; first offending op: {}; parameters are as before the step; "
      "lower --learning-rate, lengthen --warmup-epochs or check the data",
      step + 1, what, culprit);
}

Checkpoint Trainer::state() const {
  for (const Storage storage : {Storage::parameters, Storage::running}) {
    if (!executor_->all_finite(storage)) {
      fail("no checkpoint is written: the {} are not finite",
           storage == Storage::parameters ? "parameters" : "running statistics");
    }
  }
  return collect_state(*executor_);
}

void Trainer::restore(const Checkpoint* checkpoint, const std::string& origin) {
  restore_state(*executor_, checkpoint, origin, control_);
}

}  // namespace simclr
