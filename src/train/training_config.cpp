#include "simclr/train/training_config.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <sstream>

#include "simclr/core/check.hpp"
#include "simclr/io/checkpoint.hpp"
#include "simclr/io/file.hpp"

namespace simclr {
namespace fs = std::filesystem;
namespace {

// Far more than any real training: refuses typing errors before they overflow.
constexpr double kMostEpochs = 1e9;
constexpr double kMostSteps = 1e12;

/// Values in stored configurations of earlier versions, and what they are now.
const std::vector<RenamedValue>& renamed_values() {
  static const std::vector<RenamedValue> values{
      {"cache", "device", "auto"},  // was a copy in device memory, for views rendered on the GPU
  };
  return values;
}

/// A stored configuration as this version means it. Earlier versions applied operations in one
/// order, whatever the order given; their texts do not say whose semantics count. Keeps the numbers
/// of the lines.
std::string present_text(const std::string& text) {
  constexpr std::string_view kList = "augment = ";
  constexpr std::string_view kSaysOrder = "augment-semantics = ";
  std::string present;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(kSaysOrder)) return text;
    std::vector<std::string> items;
    if (line.starts_with(kList) && read_value(line.substr(kList.size()), items, any_number())) {
      line = std::string(kList) + value_text(in_earlier_order(items));
    }
    present += line + '\n';
  }
  return present;
}

/// The stored configuration of a run without the options that belong to one start of it.
std::string without_options_of_a_start(const std::string& text) {
  constexpr std::array<std::string_view, 2> kOfAStart{"resume = ", "stop-before-minutes = "};
  std::string kept;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const auto begins_line = [&](std::string_view name) { return line.starts_with(name); };
    if (std::ranges::none_of(kOfAStart, begins_line)) kept += line;
    kept += '\n';  // keeps the numbers of the lines
  }
  return kept;
}

}  // namespace

void declare_cache(Options& options, CacheMode& cache, const std::string& when_read) {
  options.choice<CacheMode>(
      "cache", cache,
      {{"auto", CacheMode::automatic},
       {"node", CacheMode::node},
       {"distributed", CacheMode::distributed},
       {"none", CacheMode::none}},
      "where stored images are kept. auto: node if they fit, else distributed; node: one copy in "
      "each node's shared memory; distributed: spread over the memory of all ranks; none: read "
      "from the files " +
          when_read);
}

void declare_data_options(Options& options, DataOptions& data) {
  options.group("data")
      .add("data", data.data,
           "training images: a directory of shards, as simclr pack writes them; a resumed run may "
           "name another place of the same data")
      .argument("DIR")
      .may_change_on_resume()
      .may_differ_between_ranks()
      .add("eval-data", data.eval_data, "labeled test images: a directory of shards")
      .argument("DIR")
      .may_change_on_resume()
      .may_differ_between_ranks()
      .add("image-size", data.image_size, "side of the square views, in pixels")
      .argument("PIXELS")
      .range(at_least(kSmallestImageSize).at_most(kLargestImageSize));
  declare_cache(options, data.cache, "for every batch");
  options.may_change_on_resume().choice<Shuffle>(
      "shuffle", data.shuffle,
      {{"full", Shuffle::full},
       {"block", Shuffle::block},
       {"off", Shuffle::off},
       {"on", Shuffle::full}},
      "order of the samples in an epoch. full or on: a new permutation of all "
      "samples; block: permuted blocks, shuffled within a window, for reading "
      "with --cache none; off: as stored, the same in every epoch");
}

void declare_optimizer_options(Options& options, OptimizerOptions& optimizer) {
  options.group("optimizer and length")
      .choice<OptimizerKind>("optimizer", optimizer.optimizer,
                             {{"lars", OptimizerKind::lars},
                              {"sgd", OptimizerKind::sgd},
                              {"adamw", OptimizerKind::adamw}},
                             "update rule. lars: SGD with a learning rate for each layer; sgd: "
                             "with momentum; adamw: Adam with decoupled weight decay")
      .add("learning-rate", optimizer.learning_rate, "base learning rate, before --lr-scaling")
      .range(at_least(0))
      .choice<LearningRateScaling>("lr-scaling", optimizer.lr_scaling,
                                   {{"linear", LearningRateScaling::linear},
                                    {"sqrt", LearningRateScaling::sqrt},
                                    {"none", LearningRateScaling::none}},
                                   "how the learning rate follows the batch size N. linear: "
                                   "multiplied by N/256; sqrt: by the square root of N; none: "
                                   "not at all")
      .add("warmup-epochs", optimizer.warmup_epochs,
           "epochs, also a fraction of one, in which the learning rate rises linearly from 0; a "
           "cosine takes it back to 0 afterwards")
      .range(at_least(0))
      .add("weight-decay", optimizer.weight_decay,
           "weight decay; batch norm parameters have none, and biases only with supervised")
      .range(at_least(0))
      .add("momentum", optimizer.momentum, "momentum of lars and sgd; beta1 of adamw")
      .range(at_least(0).below(1))
      .flag("nesterov", optimizer.nesterov, "use Nesterov's momentum; sgd only")
      .add("epochs", optimizer.epochs,
           "passes over the data: the length of the learning rate's schedule")
      .range(at_least(1).at_most(kMostEpochs))
      .add("schedule-steps", optimizer.schedule_steps,
           "length of the schedule in steps, instead of --epochs")
      .range(at_least(1).at_most(kMostSteps))
      .add("max-steps", optimizer.max_steps,
           "stop after this many steps although the schedule goes on; a later start may raise it")
      .range(at_least(0))
      .may_change_on_resume();
}

void declare_run_options(Options& options, RunOptions& run) {
  options.group("run")
      .add("run-dir", run.run_dir,
           "directory of this run: metrics, checkpoints, state, report; starting again with the "
           "same directory resumes the run")
      .argument("DIR")
      .may_change_on_resume()
      .add("seed", run.seed, "seed of the initial weights, the order of samples and the views")
      .add("log-every", run.log_every,
           "steps between two rows of metrics.jsonl and lines of the log")
      .range(at_least(1))
      .may_change_on_resume()
      .add("checkpoint-every-epochs", run.checkpoint_every_epochs,
           "epochs between checkpoints; 0: not by epochs")
      .range(at_least(0))
      .may_change_on_resume()
      .add("checkpoint-every-minutes", run.checkpoint_every_minutes,
           "minutes between checkpoints; 0: not by time")
      .range(at_least(0))
      .may_change_on_resume()
      .add("checkpoint-steps", run.checkpoint_steps,
           "steps with a checkpoint of their own, which --keep never deletes, such as 0,5,10; 0: "
           "before the first update")
      .range(at_least(0))
      .may_change_on_resume()
      .add(
          "keep", run.keep,
          "how many of the newest checkpoints stay; older ones are deleted, but for two at most to "
          "which a diverged run can go back")
      .range(at_least(1))
      .may_change_on_resume()
      .add("resume", run.resume,
           "where to begin. auto: at the run directory's newest valid checkpoint, or from the "
           "start; none: from the start, in a directory without a run; FILE: at this checkpoint")
      .argument("auto|none|FILE")
      .may_change_on_resume()
      .add("stop-before-minutes", run.stop_before_minutes,
           "write a checkpoint and stop this many minutes before the job's time limit, which "
           "SLURM_JOB_END_TIME names in seconds since 1970; unset: never")
      .range(at_least(0))
      .may_change_on_resume()
      .add("hash-every", run.hash_every,
           "steps between comparisons of the ranks' weights, which must be equal; 0: only before "
           "checkpoints")
      .range(at_least(0))
      .may_change_on_resume()
      .add("divergence-steps", run.divergence_steps,
           "end the run when the loss has been no better than guessing for this many steps after "
           "having been better; 0: never")
      .range(at_least(0))
      .may_change_on_resume()
      .flag("trace-ops", run.trace_ops,
            "print the minimum, maximum, mean and number of non-finite values of every "
            "operation's output in the first step")
      .may_change_on_resume();
}

OptimizerSpec OptimizerOptions::optimizer_spec() const {
  OptimizerSpec spec;
  spec.kind = optimizer;
  spec.momentum = static_cast<float>(momentum);
  spec.weight_decay = static_cast<float>(weight_decay);
  spec.nesterov = nesterov;
  return spec;
}

Schedule OptimizerOptions::schedule(std::int64_t steps_per_epoch) const {
  Schedule s;
  s.peak = scaled_learning_rate(learning_rate, lr_scaling, batch_size);
  s.warmup_steps = std::llround(warmup_epochs * static_cast<double>(steps_per_epoch));
  s.total_steps = schedule_steps.value_or(steps_per_epoch * epochs);
  return s;
}

void OptimizerOptions::validate_optimizer() const {
  if (nesterov && optimizer != OptimizerKind::sgd) {
    refuse("option --nesterov: needs --optimizer sgd");
  }
}

std::int64_t OptimizerOptions::samples_per_rank(int world_size) const {
  if (batch_size % world_size != 0) {
    refuse("option --batch-size: {} cannot be divided among {} ranks; choose a multiple of {}",
           batch_size, world_size, world_size);
  }
  return batch_size / world_size;
}

void declare_training_device_options(Options& options, TrainingConfig& config) {
  options.group("device");
  declare_device_options(options, config.device);
  declare_precision_options(options, config.device);
  declare_rank_options(options, config.device);
  options
      .add("loader-threads", config.loader_threads,
           "threads of each rank that read images and make views; 0: as many as --threads")
      .range(at_least(0).at_most(kMostThreads))
      .may_change_on_resume()
      .may_differ_between_ranks();
}

void TrainingConfig::validate_ranks(int world_size) const { (void)samples_per_rank(world_size); }

void TrainingConfig::validate_data(const ShardSetInfo& info) const {
  if (batch_size > training_samples(info)) {
    refuse("option --batch-size: {} is more than the {} images of {}; give at most {}", batch_size,
           training_samples(info), data.string(), training_samples(info));
  }
}

std::int64_t TrainingConfig::training_samples(const ShardSetInfo& info) const {
  const SampleChoice* const choice = sample_choice();
  return choice != nullptr ? std::ssize(choice->samples) : info.samples;
}

void TrainingConfig::note_given(const Options& /*options*/) {}

void TrainingConfig::prepare(const ShardSet& /*data*/, OpenWeights /*open*/,
                             Communicator& /*world*/) {}

void TrainingConfig::declare_without_data(Options& /*options*/) {}

void TrainingConfig::prepare_without_data(std::int64_t /*samples*/) {}

std::vector<std::pair<std::string, std::string>> TrainingConfig::run_files() const { return {}; }

std::vector<Measurement> TrainingConfig::measure(std::int64_t /*epoch*/, Trainer& /*trainer*/,
                                                 Communicator& /*world*/) {
  return {};
}

MeasuringMemory TrainingConfig::measuring_memory(std::int64_t /*samples*/, int /*world_size*/,
                                                 const StorageBytes& /*bytes*/) const {
  return {};
}

void TrainingConfig::load_initial_weights(Trainer& /*trainer*/, Communicator& /*world*/) {}

void TrainingConfig::load_frozen_weights(Trainer& /*trainer*/, Communicator& /*world*/) {}

TrainerOptions TrainingConfig::trainer_options(std::int64_t steps_per_epoch) const {
  return {.schedule = schedule(steps_per_epoch),
          .seed = seed,
          .loss_scaling = device.precision == Precision::fp16};
}

Options declared_options(TrainingConfig& config) {
  Options options(config.command(), "", {config.command()});
  config.declare(options);
  return options;
}

std::optional<std::string> stored_configuration(const fs::path& run_directory) {
  const fs::path file = run_directory / "config.cfg";
  if (!fs::exists(file)) return {};
  std::string text = read_text_file(file);
  if (text.find('=') == std::string::npos) {
    refuse("{}: holds no options; delete it: the run's checkpoints hold them, too", file.string());
  }
  return text;
}

std::string stored_section(const std::string& text) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("[")) return line.substr(1, line.find(']') - 1);
  }
  return "";
}

void require_run_of(const std::string& command, const StoredText& stored) {
  const std::string section = stored_section(stored.text);
  if (section.empty() || section == command) return;
  refuse("option --run-dir: {} is of a run of '{}', not of '{}'; choose another directory",
         stored.origin, section, command);
}

std::optional<StoredText> stored_run_options(const fs::path& run_directory,
                                             const std::string& command) {
  if (run_directory.empty()) return {};
  const auto from = [&](const std::string& text, const fs::path& origin) {
    StoredText stored{present_text(without_options_of_a_start(text)), origin.string(),
                      renamed_values()};
    require_run_of(command, stored);
    return stored;
  };
  if (const auto text = stored_configuration(run_directory)) {
    return from(*text, run_directory / "config.cfg");
  }
  // A run whose config.cfg is lost: its checkpoints hold the options, too.
  const auto found = newest_valid_checkpoint(run_directory / "checkpoints");
  if (!found) return {};
  return from(found->checkpoint.configuration, found->file.path);
}

void continue_stored_run(Options& options, const TrainingConfig& config) {
  options.require_given({"data", "run-dir"});
  options.otherwise_from(
      [&config] { return stored_run_options(config.run_dir, config.command()); });
}

void read_stored_options(Options& options, const std::string& text, const std::string& origin) {
  options.parse_text(present_text(text), origin, renamed_values());
}

}  // namespace simclr
