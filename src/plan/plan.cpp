#include "simclr/plan/plan.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "plan_parts.hpp"
#include "simclr/backend/registry.hpp"
#include "simclr/comm/communicator.hpp"
#include "simclr/core/check.hpp"
#include "simclr/io/shard_set.hpp"
#include "simclr/train/system_info.hpp"
#include "simclr/train/training_job.hpp"
#include "step_model.hpp"
#include "timed_ops.hpp"

namespace simclr {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kMeasured = "measured";

bool is_measured(const PlanRequest& request) {
  if (!request.machine.empty()) return request.machine == kMeasured;
  return request.config->device.choice != DeviceChoice::cuda;
}

/// The machine as known before a measurement.
Machine known_machine(const PlanRequest& request) {
  if (is_measured(request)) {
    return {.kind = DeviceKind::cpu,
            .half_gflops = cpu_has_native_bf16() ? 1.0 : 0.0,
            .node_memory_gb = total_memory_gb()};
  }
  if (request.machine.empty() || request.machine == "h100") return h100_machine();
  return read_machine(request.machine);
}

void require_device(const EncoderTraining& config, const Machine& machine) {
  const DeviceChoice choice = config.device.choice;
  if (choice == DeviceChoice::automatic) return;
  if ((choice == DeviceChoice::cpu) == (machine.kind == DeviceKind::cpu)) return;
  refuse("option --device: {} contradicts --machine, which describes {}",
         choice == DeviceChoice::cpu ? "cpu" : "cuda",
         machine.kind == DeviceKind::cpu ? "a CPU" : "GPUs");
}

/// The processor that the run is planned for is asked, not the one on which `plan` runs.
void require_bf16(const RunPlan& run, const PlanRequest& request) {
  const DeviceOptions& device = run.config->device;
  const bool asked = device.precision == Precision::bf16 && !device.allow_slow_bf16;
  const Machine& machine = run.machine;
  if (!asked || machine.kind == DeviceKind::cuda || machine.half_gflops > 0) return;
  refuse(
      "option --precision: bf16: {} has no native bf16; to plan for GPUs use --machine h100 or "
      "FILE; for a CPU, --precision fp32",
      is_measured(request)
          ? "this machine's processor, which is measured unless --machine is given,"
          : "the CPU of " + request.machine);
}

DataSummary summarize(const PlanRequest& request) {
  const EncoderTraining& config = *request.config;
  if (!config.data.empty()) {
    const ShardSet set(config.data);
    const ShardSetInfo& info = set.info();
    config.validate_data(info);
    return {.samples = config.training_samples(info),
            .bytes = static_cast<double>(set.stored_bytes(0, info.samples)),
            .encoded = info.encoding != ImageEncoding::raw};
  }
  AnyTraining named = config;
  named->data = "--samples";
  named->validate_data({.samples = *request.samples});
  // Assumes images packed with --resize-short of 8/7 of a view's side; small ones at their size.
  constexpr std::int64_t kSmall = 32;
  const std::int64_t side =
      config.image_size > kSmall ? config.image_size * 8 / 7 : config.image_size;
  const auto bytes = static_cast<double>(request.sample_bytes.value_or(3 * side * side));
  return {.samples = *request.samples,
          .bytes = bytes * static_cast<double>(*request.samples),
          .assumed = true};
}

/// Scales a measured CPU to other numbers of threads and of ranks per node.
Machine adapted(Machine machine, int threads, int ranks_per_node) {
  if (machine.kind == DeviceKind::cuda) return machine;
  const double more = static_cast<double>(threads) / machine.threads;
  machine.f32_gflops *= more;
  machine.half_gflops *= more;
  const double crowd = static_cast<double>(machine.devices_per_node) / ranks_per_node;
  machine.memory_gbytes_per_second *= crowd;
  machine.inside.gbytes_per_second *= crowd;
  machine.between.gbytes_per_second *= crowd;
  return machine;
}

/// Threads of a rank on the CPU: from --threads, from the machine file, or an even share of this
/// machine's cores.
int compute_threads_of(const PlanRequest& request, const Machine& machine, int ranks_per_node) {
  if (machine.kind == DeviceKind::cuda) return 1;
  if (request.config->device.threads > 0) return request.config->device.threads;
  if (!is_measured(request)) return machine.threads;
  return std::max(1, available_cores() / ranks_per_node);
}

plan::Cores cores_of(const PlanRequest& request, int threads, int ranks_per_node) {
  const int loader = request.config->loader_threads;
  const int share = is_measured(request) ? available_cores() / ranks_per_node : threads;
  return {.available = std::max(threads, share),
          .compute = threads,
          .loader = loader > 0 ? loader : threads};
}

void count_parameters(RunPlan& run, const Program& program) {
  for (const Parameter& p : program.parameters) {
    if (p.part == Part::probe) continue;
    const std::int64_t elements = program.info(p.value).shape.elements();
    (p.part == Part::encoder ? run.encoder_parameters : run.head_parameters) += elements;
  }
}

/// Number of checkpoints at the end: those that --keep leaves, and the pinned ones.
std::int64_t count_kept(const RunPlan& run) {
  const EncoderTraining& c = *run.config;
  const auto pinned = std::ranges::count_if(c.checkpoint_steps,
                                            [&](std::int64_t step) { return step < run.steps; });
  const std::int64_t interval = c.checkpoint_every_epochs * run.steps_per_epoch;
  const std::int64_t by_epochs = interval > 0 ? (run.steps + interval - 1) / interval : 1;
  const bool by_time = c.checkpoint_every_minutes > 0;
  return pinned + (by_time ? c.keep : std::min<std::int64_t>(c.keep, by_epochs));
}

void set_length(RunPlan& run) {
  run.steps_per_epoch = run.data.samples / run.config->batch_size;
  run.schedule = run.config->schedule(run.steps_per_epoch);
  run.steps =
      std::min(run.schedule.total_steps, run.config->max_steps.value_or(run.schedule.total_steps));
}

void note_assumptions(RunPlan& run, const PlanRequest& request) {
  const auto note = [&](std::string text) { run.notes.push_back(std::move(text)); };
  if (run.data.assumed && !request.sample_bytes) {
    note(fmt::format("stored images are assumed to have {:.0f} bytes (--sample-bytes)",
                     run.data.bytes / static_cast<double>(run.data.samples)));
  }
  if (run.data.encoded) note("the time of a step does not include decoding stored images");
  if (run.memory.workspace_is_allowance) {
    note("the scratch memory of convolutions is an allowance; it is known only on the device");
  }
  if (run.machine.kind == DeviceKind::cuda) {
    const double views = run.config->views_per_sample() *
                         static_cast<double>(run.config->batch_size) / run.placement.ranks;
    if (run.machine.slowdown > 1) {
      note(
          fmt::format("nobody has measured this machine with this program: times are ranges, from "
                      "that of the fastest known implementation to ops {:g} times as slow",
                      run.machine.slowdown));
    }
    note(
        fmt::format("the time of a step does not include rendering: each GPU needs {:.0f} views/s "
                    "from the host's cores (simclr bench augment measures one core)",
                    views / run.step.total));
  }
  if (is_measured(request)) {
    if (run.config->device.choice == DeviceChoice::automatic) {
      note("this plan is for this machine's CPU; use --machine h100 or FILE for GPUs");
    }
    if (run.placement.ranks > 1) note("the network between ranks is assumed, not measured");
  }
  if (!(run.machine.node_memory_gb > 0)) {
    note(
        "the memory of a node is unknown (--node-memory-gb): whether the cache fits is not "
        "checked");
  }
  note("the times do not include reading the data at the start and writing checkpoints");
}

RunPlan begin_plan(const PlanRequest& request, Machine machine) {
  RunPlan run{.config = request.config};
  if (request.node_memory_gb) machine.node_memory_gb = *request.node_memory_gb;
  const int per_node =
      request.ranks_per_node > 0 ? request.ranks_per_node : machine.devices_per_node;
  const int threads = compute_threads_of(request, machine, per_node);
  run.placement = plan::place(*request.config, request.ranks, per_node);
  run.cores = cores_of(request, threads, per_node);
  run.machine = std::move(machine);
  return run;
}

/// Measures this machine for the run; with `keep`, for other runs, too.
Machine measure_for(RunPlan& run, const Program& program, const PlanRequest& request, bool keep,
                    Clock::time_point begun) {
  const bool half = run.config->device.precision != Precision::fp32;
  const double seconds =
      request.measuring_seconds - std::chrono::duration<double>(Clock::now() - begun).count();
  MeasuredMachine measured = measure_machine({.threads = run.cores.compute,
                                              .devices_per_node = run.placement.ranks_per_node,
                                              .f32 = keep || !half,
                                              .half = half || (keep && cpu_has_native_bf16()),
                                              .seconds = std::max(0.0, seconds)});
  const std::vector<std::string> missing = plan::missing_kinds(program, measured.machine);
  if (!missing.empty()) {
    fail(
        "option --machine: measured: this machine is too busy: not one {} could be timed within "
        "{:.0f} seconds; plan on an idle machine, or use --machine FILE, which plan "
        "--write-machine writes there",
        fmt::join(missing, ", "), request.measuring_seconds);
  }
  run.warnings = std::move(measured.warnings);
  measured.machine.node_memory_gb = run.machine.node_memory_gb;
  return std::move(measured.machine);
}

/// Measures the machine if requested, writes its file, and adapts it to the run.
void complete_machine(RunPlan& run, const Program& program, const PlanRequest& request,
                      Clock::time_point begun) {
  const bool keep = !request.write_machine.empty();
  Machine machine =
      is_measured(request) ? measure_for(run, program, request, keep, begun) : run.machine;
  if (keep) write_machine(request.write_machine, machine);
  run.machine = adapted(std::move(machine), run.cores.compute, run.placement.ranks_per_node);
}

}  // namespace

RunPlan make_plan(const PlanRequest& asked) {
  const auto begun_at = Clock::now();
  const double program_bytes = resident_memory_bytes();  // ten times more with CUDA's libraries
  PlanRequest request = asked;
  plan::validate_request(request);
  if (request.config->data.empty()) {
    request.config->prepare_without_data(*request.samples);
  } else {
    const auto alone = make_self_communicator();
    request.config->prepare(ShardSet(request.config->data), OpenWeights::yes, *alone);
  }
  request.config->validate_ranks(request.ranks);
  AnyTraining config = request.config;
  const std::optional<Precision> begun =
      config->run_dir.empty() ? std::nullopt : validate_run_directory(*config);
  if (const auto& eval_data = request.config->eval_data; !eval_data.empty()) {
    if (ShardSet(eval_data).info().labeled_samples == 0) {
      refuse("option --eval-data: {} has no labels; evaluation needs labeled data",
             eval_data.string());
    }
  }
  RunPlan run = begin_plan(request, known_machine(request));
  run.program_bytes = program_bytes;
  require_device(*request.config, run.machine);
  if (begun) run.config->device.precision = *begun;
  require_bf16(run, request);
  run.config->device.precision =
      resolve_precision(run.config->device, run.machine.kind, run.machine.half_gflops > 0);
  run.data = summarize(request);
  set_length(run);

  const Program program = run.config->task(0, request.ranks).program;
  run.memory = plan::plan_memory(program, plan::memory_context(run, *run.config, run.placement),
                                 plan::Workspace::ask);
  plan::require_memory(run);
  count_parameters(run, program);
  run.checkpoint_bytes = plan::checkpoint_bytes(program);
  run.kept_checkpoints = count_kept(run);
  run.cost = plan::count_step(program);
  run.traffic = plan::count_traffic(program);

  complete_machine(run, program, request, begun_at);
  run.step = plan::predict(program, *run.config, run, run.placement);
  run.slowest_seconds = plan::slowest_step_seconds(program, *run.config, run, run.placement);
  if (request.time_limit_minutes)
    plan::require_checkpoint_in_time(run, *request.time_limit_minutes);
  run.strong = plan::scaling_table(run, plan::Scaling::strong);
  run.weak = plan::scaling_table(run, plan::Scaling::weak);
  note_assumptions(run, request);
  return run;
}

}  // namespace simclr
