#include "simclr/train/training_job.hpp"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>

#include "environment.hpp"
#include "memory_check.hpp"
#include "run_directory.hpp"
#include "run_state.hpp"
#include "simclr/backend/host_memory.hpp"
#include "simclr/core/activity.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/instruction_set.hpp"
#include "simclr/core/log.hpp"
#include "simclr/data/loader.hpp"
#include "simclr/io/atomic_file.hpp"
#include "simclr/train/system_info.hpp"
#include "simclr/train/trainer.hpp"
#include "stop_signal.hpp"
#include "training_loop.hpp"

namespace simclr {
namespace fs = std::filesystem;
namespace {

std::int64_t steps_per_epoch(const TrainingConfig& config, const ShardSetInfo& data) {
  return config.training_samples(data) / config.batch_size;
}

/// Warns of evaluation data that are not there. Training does not need them, and a run goes on
/// without; what they hold is checked by those who read them.
void look_for_evaluation_data(const TrainingConfig& config) {
  std::error_code unknown;
  if (config.eval_data.empty() || fs::exists(config.eval_data, unknown)) return;
  const std::string reason = unknown ? unknown.message() : "No such file or directory";
  log::warning("option --eval-data: {}: {}; evaluations of this run will need other data",
               config.eval_data.string(), reason);
}

/// Makes every check that needs no writing, and reads few images. Returns the training data.
ShardSet validate_all(TrainingConfig& config, OpenWeights open, Communicator& world) {
  config.validate();
  // Refuses values that a configuration file cannot hold.
  (void)configuration_text(config, RunDirectoryOption::written);
  CommonData data = open_common(config.data, "data", world);
  config.prepare(data.set, open, world);
  config.validate_ranks(world.size());
  on_root(world, [&] {
    config.validate_data(data.set.info());
    look_for_evaluation_data(config);
  });
  config.fingerprint = std::move(data.fingerprint);
  return std::move(data.set);
}

LoaderConfig loader_config(const TrainingConfig& config, const Span& span, int threads,
                           HostMemory& memory, Communicator& world) {
  return {.augmentation = config.augmentation(),
          .seed = config.seed,
          .shuffle = config.shuffle,
          .batch_size = config.batch_size,
          .views_per_sample = config.views_per_sample(),
          .view_type = activation_type(config.device.precision),
          .rank = world.rank(),
          .world_size = world.size(),
          .threads = config.loader_threads > 0 ? config.loader_threads : threads,
          .first_step = span.first,
          .end_step = span.end,
          .memory = &memory};
}

/// Takes over state.json and returns the first step of this start, on all ranks.
std::int64_t first_step(const TrainingConfig& config, const std::optional<RunDirectory>& run,
                        const RunStart& start, Communicator& world, StateFile& state) {
  const auto [step, restarts] =
      broadcast_value(world, std::array<std::int64_t, 2>{start.step(), start.restarts});
  const std::string lock = broadcast_text(world, run ? run->fence().content() : "");
  state.take_over(step, static_cast<int>(restarts), {config.run_dir, lock});
  return step;
}

/// Memory that the tensors of the checkpoint take until they are restored.
double tensor_bytes(const RunStart& start) {
  double bytes = 0;
  if (!start.checkpoint) return bytes;
  const Checkpoint& checkpoint = start.checkpoint->checkpoint;
  for (const auto* tensors : {&checkpoint.parameters, &checkpoint.running, &checkpoint.momentum,
                              &checkpoint.second_moment}) {
    for (const NamedTensor& tensor : *tensors) {
      bytes += static_cast<double>(sizeof(float) * tensor.values.size());
    }
  }
  return bytes;
}

/// Host memory that this rank takes while the command measures its model.
double measuring_bytes(const TrainingConfig& config, std::int64_t samples, const Backend& backend,
                       const Communicator& world) {
  const MeasuringMemory memory = config.measuring_memory(
      samples, world.size(), [&](const TensorInfo& info) { return backend.storage_bytes(info); });
  return memory.host + (backend.info().name == "cpu" ? memory.device : 0);
}

void restore(Trainer& trainer, const RunStart& start, std::int64_t step, Communicator& world) {
  activity().begin("restoring the checkpoint");
  if (start.restarts > 0) log::info("restart {} of this run", start.restarts);
  if (step == 0 && !any_rank(world, start.checkpoint.has_value())) return;
  const std::string origin = start.checkpoint ? start.checkpoint->file.path.string() : "";
  trainer.restore(start.checkpoint ? &start.checkpoint->checkpoint : nullptr, origin);
  log::info("resuming from {} at step {}", origin, step);
}

/// The precision of the resumed run, or of --precision for a new run; the same on all ranks.
Precision run_precision(const DeviceOptions& device, std::optional<Precision> earlier,
                        const Backend& backend, Communicator& world) {
  DeviceOptions agreed = device;
  agreed.precision = broadcast_value(world, earlier.value_or(device.precision));
  return resolve_precision(agreed, backend);
}

/// --checkpoint-steps of this start and of earlier ones, whose checkpoints stay pinned; the same on
/// all ranks.
std::vector<std::int64_t> pinned_steps(const TrainingConfig& asked, const RunStart& start,
                                       Communicator& world) {
  std::vector<std::int64_t> steps = asked.checkpoint_steps;
  steps.insert(steps.end(), start.pinned_steps.begin(), start.pinned_steps.end());
  std::ranges::sort(steps);
  steps.erase(std::ranges::unique(steps).begin(), steps.end());
  return broadcast_list(world, std::move(steps));
}

/// Reads the environment of the resumed run on rank 0 and uses its plans if they fit this backend.
std::optional<Environment> take_over_environment(const RunStart& start, Backend& backend) {
  if (!start.checkpoint) return {};
  std::optional<Environment> earlier = environment_of(start.checkpoint->file.path);
  if (earlier && plans_fit(earlier->plans, backend)) backend.tune({}, earlier->plans.choices);
  return earlier;
}

void report_changes(const std::optional<Environment>& earlier, const Environment& now) {
  if (!earlier) return;
  const Changes changes = what_changed(*earlier, now);
  if (changes.text.empty()) return;
  log::info("changed since the previous start: {}: the run goes on, {}bit for bit", changes.text,
            changes.same_bits ? "" : "but not ");
}

/// What is said of a run that has no step to make.
std::string nothing_left(const TrainingConfig& config, std::int64_t step, std::int64_t total) {
  return fmt::format("{} is at step {} of {}: nothing is left to do{}{}", config.run_dir.string(),
                     step, total, config.measure_at_end ? " but to measure its accuracy" : "",
                     step < total ? fmt::format("; a --max-steps above {} goes on", step) : "");
}

/// The line that dry_run() returns.
std::string describe_start(const TrainingConfig& config, const RunStart& start,
                           std::int64_t steps_per_epoch, int ranks) {
  if (!config.is_complete()) {
    return fmt::format(
        "dry run: would start a new run in {}, with the options that its weights decide",
        config.run_dir.string());
  }
  const std::int64_t total = config.schedule(steps_per_epoch).total_steps;
  const std::int64_t end = std::min(total, config.max_steps.value_or(total));
  const std::int64_t first = start.step();
  const std::string run = config.run_dir.string();
  if (start.checkpoint && first >= end) {
    return "dry run: " + nothing_left(config, first, total);
  }
  const std::string action =
      start.checkpoint
          ? fmt::format("resume {} from {}", run, start.checkpoint->file.path.filename().string())
          : fmt::format("start a new run in {}", run);
  return fmt::format("dry run: would {}: steps {} to {}, {} an epoch, on {} rank{}", action, first,
                     end, steps_per_epoch, ranks, ranks == 1 ? "" : "s");
}

void describe_run(const Trainer& trainer, const SampleStore& store, const Span& span,
                  const Backend& backend, Communicator& world) {
  constexpr double kMegabyte = 1e6;
  const MemoryReport memory = trainer.executor().memory();
  const auto per_view = static_cast<double>(memory.saved_activation_bytes) /
                        static_cast<double>(trainer.views_per_rank());
  log::info("data: {} samples in {}", store.info().samples, store.info().shard_names());
  log::info("data: {}", store.description());
  log::info("{} rank{} on {}; steps {} to {}, {} an epoch", world.size(),
            world.size() == 1 ? "" : "s", backend.info().description, span.first, span.end,
            span.steps_per_epoch);
  log::info(
      "memory a rank: activations {:.1f} MB ({:.2f} MB saved a view), parameters and optimizer "
      "{:.1f} MB, workspace {:.1f} MB",
      static_cast<double>(memory.arena_bytes) / kMegabyte, per_view / kMegabyte,
      static_cast<double>(memory.parameter_bytes) / kMegabyte,
      static_cast<double>(memory.workspace_bytes) / kMegabyte);
}

/// Logs the highest peak memory of any rank.
void report_peak_memory(Communicator& world) {
  constexpr double kMegabyte = 1e6;
  double bytes = peak_memory_bytes();
  world.all_reduce({&bytes, 1, DType::f64}, Reduction::max);
  log::info("peak memory a rank: {:.1f} MB", bytes / kMegabyte);
}

/// Refuses ranks on processors whose kernels round differently: each rank updates its own copy of
/// the weights, which must stay equal. A GPU updates them itself.
void require_same_kernels(const Backend& backend, Communicator& world) {
  if (backend.info().name != "cpu") return;
  require_same_values(
      world, {{"the instruction set, which SIMCLR_CPU_ISA may lower", name_of(instruction_set())}});
}

/// How a start has ended.
struct JobEnd {
  RunStatus status = RunStatus::finished;
  Cause cause = Cause::finished;
  std::string reason;
  std::int64_t step = 0;

  void stop_early(const Stop& stop) {
    status = RunStatus::stopped_early;
    cause = stop.cause;
    reason = stop.reason;
  }
};

/// Takes over the run directory and trains.
JobEnd train_model(TrainingConfig& config, ShardSet data, const BuildInfo& build,
                   const Deadline& deadline, std::optional<RunDirectory>& run, Backend& backend,
                   int threads, Communicator& world, StateFile& state) {
  activity().begin("taking the run directory");
  on_root(world, [&] { run.emplace(config); });
  const RunStart unknown;  // on other ranks than 0
  const RunStart& start = run ? run->start() : unknown;
  Span span{.first = first_step(config, run, start, world, state)};
  config.device.precision = run_precision(config.device, start.precision, backend, world);
  config.checkpoint_steps = pinned_steps(config, start, world);
  const std::optional<Environment> earlier = take_over_environment(start, backend);
  activity().begin("reading the data set");
  auto store = open_sample_store(std::move(data), config.cache, world, threads,
                                 config.batch_size / world.size());
  span.steps_per_epoch = steps_per_epoch(config, store->info());
  if (const SampleChoice* const choice = config.sample_choice()) {
    store = make_subset_store(std::move(store), *choice);
  }
  const std::int64_t total = config.schedule(span.steps_per_epoch).total_steps;
  span.end = std::max(span.first, std::min(total, config.max_steps.value_or(total)));
  activity().begin("preparing the model");
  Task task = config.task(world.rank(), world.size());
  require_memory(
      memory_need(task.program, backend, world.rank() == 0),
      tensor_bytes(start) - measuring_bytes(config, store->info().samples, backend, world), world);
  TrainerOptions options = config.trainer_options(span.steps_per_epoch);
  options.threads = threads;
  const bool resumes = any_rank(world, start.checkpoint.has_value());
  options.loaded = resumes ? kAllParts : config.initial_parts();
  Trainer trainer(std::move(task), options, backend, world);
  if (!resumes) config.load_initial_weights(trainer, world);
  restore(trainer, start, span.first, world);
  config.load_frozen_weights(trainer, world);
  if (run) run->forget_tensors();

  on_root(world, [&] {
    run->begin(config);
    for (const auto& [name, content] : config.run_files()) {
      write_file(config.run_dir / name, content);
    }
  });
  state.running(span.first);
  const Environment environment =
      describe_environment(build, backend, threads, store->description(), world, earlier);
  on_root(world, [&] { state.fence().require_held(); });
  write_environment(config.run_dir, environment, backend, world);
  report_device(config.device, backend);
  report_changes(earlier, environment);
  describe_run(trainer, *store, span, backend, world);
  store->take_read_statistics();  // discards those of startup, already described above
  if (span.first == span.end) log::info("{}", nothing_left(config, span.first, total));

  HostMemory memory(backend);
  TrainingLoader loader(*store, loader_config(config, span, threads, memory, world));
  const TrainingEnd end = train(config, span, deadline, loader, trainer, world, state);
  JobEnd result{.step = end.step};
  if (end.stop) {
    result.stop_early(*end.stop);
  } else {
    result.cause = span.end < total ? Cause::max_steps : Cause::finished;
    result.reason = span.end < total ? "--max-steps reached" : "all epochs done";
  }
  return result;
}

/// Trains, and measures the model if that is not left for another start; see run_training().
int run_job(TrainingConfig& config, ShardSet data, const BuildInfo& build, const Deadline& deadline,
            std::optional<RunDirectory>& run, Backend& backend, int threads, Communicator& world,
            StateFile& state) {
  JobEnd end =
      train_model(config, std::move(data), build, deadline, run, backend, threads, world, state);
  if (end.status == RunStatus::finished && config.measure_at_end) {
    activity().begin("measuring the trained model");
    return_free_memory();  // what training took
    Stop stop;
    const auto goes_on = [&] {
      stop = agree_on_stop(reason_to_stop(deadline), world);
      return stop.reason.empty();
    };
    if (!config.measure_at_end(goes_on)) end.stop_early(stop);
  }
  on_root(world, [&] { state.end(end.status, end.cause, end.reason); });
  report_peak_memory(world);
  const bool stopped_early = end.status == RunStatus::stopped_early;
  log::info("{} at step {}: {}", stopped_early ? "stopped early" : "finished", end.step,
            end.reason);
  return stopped_early ? kExitStoppedEarly : 0;
}

/// Rethrows a failure after writing it to state.json. A start that no longer owns the run directory
/// writes nothing, and its job must not be requeued: it is refused.
[[noreturn]] void end_failed(const std::exception& error, const Watchdog& watchdog,
                             StateFile& state) {
  const Cause cause = cause_of(error);
  if (cause == Cause::lost_lock) throw RefusedError(error.what(), cause);
  // A rank that lost a connection does not know which rank has ended: wait for the watchdog to
  // tell.
  if (cause == Cause::lost_rank) watchdog.await_verdict();
  std::string message = message_of(error);
  try {
    state.end(RunStatus::failed, cause, message);
  } catch (const std::exception& second) {
    if (message.find(message_of(second)) != std::string::npos) throw Error(message, cause);
    message += fmt::format("; state.json could not be written: {}", message_of(second));
  }
  throw Error(message, cause);
}

}  // namespace

std::string dry_run(TrainingConfig& config, DryRun where, Communicator& world) {
  const auto open = where == DryRun::here ? OpenWeights::yes : OpenWeights::no;
  const ShardSet data = validate_all(config, open, world);
  RunStart start;
  const auto in_use = where == DryRun::here ? DirectoryInUse::refuse : DirectoryInUse::accept;
  const auto check_directory = [&] { start = check_run_directory(config, in_use); };
  if (where == DryRun::here) {
    if (config.stop_before_minutes) (void)job_deadline(*config.stop_before_minutes);
    const auto backend = make_backend(config.device, compute_threads(config.device, world), world);
    (void)resolve_precision(config.device, *backend);
    on_root(world, check_directory);
    config.device.precision = run_precision(config.device, start.precision, *backend, world);
    const std::uint64_t cache =
        require_cache_fits(data, config.cache, world, config.batch_size / world.size());
    const Task task = config.task(world.rank(), world.size());
    require_memory(memory_need(task.program, *backend, world.rank() == 0),
                   tensor_bytes(start) - static_cast<double>(cache) -
                       measuring_bytes(config, data.info().samples, *backend, world),
                   world);
  } else {
    on_root(world, check_directory);
  }
  std::string line;
  on_root(world, [&] {
    line = describe_start(config, start, steps_per_epoch(config, data.info()), world.size());
  });
  if (where == DryRun::elsewhere)
    line += "; device, memory and time limit are for the job to check";
  return broadcast_text(world, line);
}

int run_training(TrainingConfig& config, const BuildInfo& build, Communicator& world) {
  install_stop_signals();
  ShardSet data = validate_all(config, OpenWeights::yes, world);
  Deadline deadline;
  if (config.stop_before_minutes) deadline = job_deadline(*config.stop_before_minutes);
  const int threads = compute_threads(config.device, world);
  const auto backend = make_backend(config.device, threads, world);
  (void)resolve_precision(config.device, *backend);
  require_same_kernels(*backend, world);

  std::optional<RunDirectory> run;
  StateFile state(config.run_dir, world.rank() == 0);
  const Watchdog watchdog = watch_ranks(config.device, world, [&](const Fault& fault) {
    state.end(RunStatus::failed, fault.cause, fault.message);
  });
  try {
    return run_job(config, std::move(data), build, deadline, run, *backend, threads, world, state);
  } catch (const std::exception& error) {
    // Once work has begun, a refusal counts as a failure.
    if (is_refusal(error) && !state.has_begun()) throw;
    end_failed(error, watchdog, state);
  }
}

}  // namespace simclr
