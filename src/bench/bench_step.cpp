// Times the whole training step on synthetic views: all that pretrain does except reading data and
// writing files.

#include <fmt/format.h>

#include <chrono>
#include <utility>
#include <vector>

#include "measurement.hpp"
#include "simclr/backend/host_memory.hpp"
#include "simclr/core/random.hpp"
#include "simclr/tensor/convert.hpp"
#include "simclr/tensor/host_buffer.hpp"
#include "simclr/train/pretrain_config.hpp"
#include "simclr/train/trainer.hpp"

namespace simclr {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

struct BenchStepOptions {
  int repeats = 10;
  int warmup_steps = 2;
  bool json = false;
};

struct StepTimes {
  /// Seconds. A step is timed from the end of the previous one; on a GPU the next one is enqueued
  /// by then, as in training.
  std::vector<double> step, forward, backward, update;  // the last three only on the CPU
};

ViewBatch random_batch(const Program& program, HostMemory& memory) {
  const TensorInfo& info = program.info(program.at("views"));
  ViewBatch batch;
  batch.views = HostBuffer(info.dtype, static_cast<std::size_t>(info.shape.elements()), &memory);
  PhiloxStream stream(1, RandomPurpose::kCrop, 0, 0);
  with_type(info.dtype, [&]<class T>(T) {
    for (T& value : batch.views.values<T>()) value = convert_value<T>(stream.uniform());
  });
  return batch;
}

StepTimes time_steps(Trainer& trainer, const ViewBatch& batch, const BenchStepOptions& options,
                     Communicator& world) {
  StepTimes times;
  const int steps = options.warmup_steps + options.repeats;
  // Starts steps beyond the last timed one, which then has the next one enqueued, too.
  const int most_started = steps + trainer.max_in_flight() - 1;
  trainer.stage(batch);
  world.barrier();
  auto last = Clock::now();
  for (int started = 0, finished = 0; finished < steps; ++finished) {
    while (started < most_started && trainer.steps_in_flight() < trainer.max_in_flight()) {
      trainer.start_step(0);
      trainer.stage(batch);
      ++started;
    }
    const StepResult result = trainer.finish_step();
    if (result.not_finite) fail("the step's loss or gradient is not finite");
    const auto now = Clock::now();
    const double seconds = std::chrono::duration<double>(now - std::exchange(last, now)).count();
    if (finished < options.warmup_steps) continue;
    times.step.push_back(seconds);
    if (!result.phases) continue;
    times.forward.push_back(result.phases->forward);
    times.backward.push_back(result.phases->backward);
    times.update.push_back(result.phases->update);
  }
  while (trainer.steps_in_flight() > 0) trainer.finish_step();
  return times;
}

Json result_json(const Trainer& trainer, const StepTimes& times, const MemoryReport& memory,
                 const MachineLimits& limits, int ranks) {
  const double seconds = median(times.step);
  const auto views = static_cast<double>(trainer.views_per_rank());
  const auto phase = [](const std::vector<double>& values) {
    return values.empty() ? Json() : Json(median(values));
  };
  return {{"views_per_second", views * ranks / seconds},
          {"steps_per_second", 1 / seconds},
          {"seconds_step", seconds},
          {"seconds_forward", phase(times.forward)},
          {"seconds_backward", phase(times.backward)},
          {"seconds_update", phase(times.update)},
          {"ranks", ranks},
          {"machine", limits.machine},
          {"threads", limits.threads},
          {"saved_activation_bytes_per_view",
           static_cast<double>(memory.saved_activation_bytes) / views},
          {"arena_bytes", memory.arena_bytes},
          {"parameter_bytes", memory.parameter_bytes},
          {"workspace_bytes", memory.workspace_bytes},
          {"machine_f32_gflops", limits.f32_gflops},
          {"machine_bf16_gflops", limits.bf16_gflops ? Json(*limits.bf16_gflops) : Json()},
          {"machine_copy_gbytes_per_second", limits.copy_gbytes_per_second}};
}

void print_summary(const Json& result, const MemoryReport& memory) {
  constexpr double kMegabyte = 1e6;
  const auto milliseconds = [&](const char* key) { return result.at(key).get<double>() * 1e3; };
  const bool has_phases = !result.at("seconds_forward").is_null();
  fmt::print("{:.2f} views/s, {:.3f} steps/s; a step {:.2f} ms{} (medians)\n",
             result.at("views_per_second").get<double>(),
             result.at("steps_per_second").get<double>(), milliseconds("seconds_step"),
             has_phases
                 ? fmt::format(" = forward {:.1f} + backward {:.1f} + check and update {:.1f}",
                               milliseconds("seconds_forward"), milliseconds("seconds_backward"),
                               milliseconds("seconds_update"))
                 : "");
  fmt::print(
      "memory a rank: saved activations {:.2f} MB a view, arena {:.1f} MB (live peak {:.1f} MB "
      "at {}), parameters and optimizer {:.1f} MB, workspace {:.1f} MB\n",
      result.at("saved_activation_bytes_per_view").get<double>() / kMegabyte,
      static_cast<double>(memory.arena_bytes) / kMegabyte,
      static_cast<double>(memory.live_peak_bytes) / kMegabyte, memory.peak_op,
      static_cast<double>(memory.parameter_bytes) / kMegabyte,
      static_cast<double>(memory.workspace_bytes) / kMegabyte);
}

}  // namespace

int run_bench_step(const std::vector<std::string>& arguments, Communicator& world) {
  PretrainConfig config;
  config.batch_size = 32;
  BenchStepOptions bench;
  Options options("bench step", "Time of the whole training step on synthetic views.",
                  {"pretrain", "bench"});
  options.group("measurement")
      .add("repeats", bench.repeats, "steps to time, whose medians are reported")
      .range(at_least(1))
      .add("warmup-steps", bench.warmup_steps, "steps before those that are not timed")
      .range(at_least(0))
      .flag("json", bench.json, "print one line of JSON instead of the tables");
  config.declare(options);
  options.example("simclr bench step --encoder resnet18 --image-size 32 --batch-size 64");
  if (!parse_on_all_ranks(options, arguments, world)) return 0;
  config.validate();

  config.validate_ranks(world.size());
  const int threads = compute_threads(config.device, world);
  const auto backend = make_backend(config.device, threads, world);
  config.device.precision = resolve_precision(config.device, *backend);
  const MachineLimits limits = measure_limits(*backend, threads);
  if (!bench.json) report_device(config.device, *backend);
  // A schedule of one step without warm-up, so that the learning rate is not 0.
  config.warmup_epochs = 0;
  Trainer trainer(config.task(world.rank(), world.size()), config.trainer_options(1), *backend,
                  world);
  HostMemory host_memory(*backend);
  const ViewBatch batch = random_batch(trainer.executor().program(), host_memory);
  const MemoryReport memory = trainer.executor().memory();
  const StepTimes times = time_steps(trainer, batch, bench, world);
  Json result = result_json(trainer, times, memory, limits, world.size());
  if (world.rank() == 0) {
    if (bench.json) {
      fmt::print("{}\n", result.dump());
      return 0;
    }
    fmt::print("{}\n", limits.text());
    print_summary(result, memory);
  }
  if (bench.json || world.size() > 1) return 0;
  print_op_table(trainer.executor(), limits,
                 {.repeats = bench.repeats,
                  .bf16 = config.device.precision != Precision::fp32,
                  .runs = backend->info().runs_ahead ? kRunsOnGpu : 1,
                  .views = static_cast<double>(trainer.views_per_rank())});
  return 0;
}

}  // namespace simclr
