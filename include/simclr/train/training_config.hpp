#pragma once
// Options that every training command has, and the interface of a training command to the engine.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "simclr/augment/augmentation.hpp"
#include "simclr/comm/communicator.hpp"
#include "simclr/core/options.hpp"
#include "simclr/data/loader.hpp"
#include "simclr/data/sampler.hpp"
#include "simclr/io/fingerprint.hpp"
#include "simclr/optim/optimizer.hpp"
#include "simclr/train/device.hpp"
#include "simclr/train/model_description.hpp"
#include "simclr/train/task.hpp"

namespace simclr {

/// The options --data, --eval-data, --image-size, --cache and --shuffle.
struct DataOptions {
  std::filesystem::path data, eval_data;
  std::int64_t image_size = 224;
  CacheMode cache = CacheMode::automatic;
  Shuffle shuffle = Shuffle::full;
};
void declare_data_options(Options& options, DataOptions& data);
/// Declares --cache; `when_read`: when a command reads the files with --cache none.
void declare_cache(Options& options, CacheMode& cache, const std::string& when_read);

/// Many times the largest batch ever trained with.
inline constexpr double kMostBatchSamples = 1 << 24;

/// The optimizer, its schedule and the length of the run.
struct OptimizerOptions {
  std::int64_t batch_size = 4096;  ///< N, global
  OptimizerKind optimizer = OptimizerKind::lars;
  double learning_rate = 0.3;
  LearningRateScaling lr_scaling = LearningRateScaling::linear;
  double warmup_epochs = 10;
  double weight_decay = 1e-6;
  double momentum = 0.9;
  bool nesterov = false;
  std::int64_t epochs = 100;
  std::optional<std::int64_t> schedule_steps;  ///< instead of `epochs`
  std::optional<std::int64_t> max_steps;

  [[nodiscard]] OptimizerSpec optimizer_spec() const;
  [[nodiscard]] Schedule schedule(std::int64_t steps_per_epoch) const;
  /// Refuses options that contradict each other.
  void validate_optimizer() const;
  /// Images of each rank in a batch. Refuses a batch that cannot be divided among this many ranks.
  [[nodiscard]] std::int64_t samples_per_rank(int world_size) const;
};
/// Declares all of them except --batch-size, which each command declares with its own help text.
void declare_optimizer_options(Options& options, OptimizerOptions& optimizer);

/// Options of the run directory and of what is written to it.
struct RunOptions {
  std::filesystem::path run_dir;
  std::uint64_t seed = 1;
  std::int64_t log_every = 10;
  std::int64_t checkpoint_every_epochs = 1;
  double checkpoint_every_minutes = 30;
  std::vector<std::int64_t> checkpoint_steps;
  int keep = 3;
  std::string resume = "auto";
  std::optional<double> stop_before_minutes;
  std::int64_t hash_every = 100;        ///< 0: only before checkpoints
  std::int64_t divergence_steps = 200;  ///< 0: never stop because of the loss
  bool trace_ops = false;
};
void declare_run_options(Options& options, RunOptions& run);

enum class OpenWeights : bool { no, yes };

/// A number that a command has measured, and its column in metrics.jsonl.
struct Measurement {
  std::string name;
  double value = 0;
};

/// Memory that a rank takes while it measures, in bytes.
struct MeasuringMemory {
  double host = 0;    ///< images and features
  double device = 0;  ///< programs; on a CPU beside what `host` says
};
using StorageBytes = std::function<std::size_t(const TensorInfo&)>;

class Trainer;

/// A training command: its options and its task. The engine (training_job.hpp) does the rest for
/// every command: starts, restarts, checkpoints, signals, records and the watchdog.
struct TrainingConfig : DataOptions, OptimizerOptions, RunOptions {
  DeviceOptions device;
  int loader_threads = 0;   ///< 0: as many as compute threads
  Fingerprint fingerprint;  ///< of the data; no option: the engine sets it
  /// Measures the trained model, after the last checkpoint and before the run counts as finished;
  /// empty for a command that does not. Asks `goes_on` between parts of its work, on all ranks
  /// together, and returns false as soon as that says no. Collective.
  std::function<bool(const std::function<bool()>& goes_on)> measure_at_end;

  TrainingConfig() = default;
  TrainingConfig(const TrainingConfig&) = default;
  TrainingConfig& operator=(const TrainingConfig&) = default;
  virtual ~TrainingConfig() = default;

  /// Name of the command and of its section in configuration files.
  [[nodiscard]] virtual const char* command() const = 0;
  /// The same command with every option at its default.
  [[nodiscard]] virtual std::unique_ptr<TrainingConfig> with_defaults() const = 0;
  /// Declares every option, bound to the fields of this object, in the help text's groups.
  virtual void declare(Options& options) = 0;

  /// Refuses options that contradict each other, whatever the data and the number of ranks. The
  /// values that a single option accepts are declared with it.
  virtual void validate() const = 0;
  /// Refuses options that do not fit this number of ranks.
  virtual void validate_ranks(int world_size) const;
  /// Refuses a batch larger than the data set, and data that the task cannot use.
  virtual void validate_data(const ShardSetInfo& data) const;
  /// Number of samples that the run trains on.
  [[nodiscard]] std::int64_t training_samples(const ShardSetInfo& data) const;

  // What a command may add to a start. The engine calls these functions in this order; by default
  // they do nothing.

  /// Tells the command which options have been given; called once they were read.
  virtual void note_given(const Options& options);
  /// Called once the training data are open, before anything is written: opens what else the
  /// command needs, completes options that were not given, and refuses what does not fit. Without
  /// OpenWeights::yes, weights that may not exist yet are not opened. Collective.
  virtual void prepare(const ShardSet& data, OpenWeights open, Communicator& world);
  /// Declares options that say what data would, for a plan without data.
  virtual void declare_without_data(Options& options);
  /// In place of prepare(), for a plan without data: completes options for this number of samples;
  /// refuses options that need data, and the lack of those that data would complete.
  virtual void prepare_without_data(std::int64_t samples);
  /// False after prepare() if options remain that only the weights decide.
  [[nodiscard]] virtual bool is_complete() const { return true; }
  /// The samples to train on; null: all of the data set.
  [[nodiscard]] virtual const SampleChoice* sample_choice() const { return nullptr; }
  /// The command's own files in the run directory, which the engine writes when a start begins:
  /// pairs of name and content.
  [[nodiscard]] virtual std::vector<std::pair<std::string, std::string>> run_files() const;
  /// Parts of the model that load_initial_weights() loads.
  [[nodiscard]] virtual std::vector<Part> initial_parts() const { return {}; }
  /// Loads the weights with which a new run begins. Collective.
  virtual void load_initial_weights(Trainer& trainer, Communicator& world);
  /// Loads frozen weights that are no part of the run's state, such as a teacher's; called at every
  /// start, after the state was loaded. Collective.
  virtual void load_frozen_weights(Trainer& trainer, Communicator& world);
  /// Whether measure() is called after the last step of this epoch, counted from 1.
  [[nodiscard]] virtual bool measures_after(std::int64_t /*epoch*/) const { return false; }
  /// Measures the model for a row of metrics.jsonl. No step is in flight. It changes nothing that
  /// the run goes on with. Collective.
  virtual std::vector<Measurement> measure(std::int64_t epoch, Trainer& trainer,
                                           Communicator& world);
  /// The memory that measure() takes. `samples`: of the training data; `bytes`: what a tensor takes
  /// on the device. prepare() may have been left out.
  [[nodiscard]] virtual MeasuringMemory measuring_memory(std::int64_t samples, int world_size,
                                                         const StorageBytes& bytes) const;

  [[nodiscard]] TrainerOptions trainer_options(std::int64_t steps_per_epoch) const;

  [[nodiscard]] virtual AugmentationConfig augmentation() const = 0;
  [[nodiscard]] virtual int views_per_sample() const = 0;
  [[nodiscard]] virtual ModelDescription model() const = 0;
  [[nodiscard]] virtual Objective objective() const = 0;
  /// The task of one rank. Call it with a resolved precision. Refuses options that do not fit the
  /// number of ranks.
  [[nodiscard]] virtual Task task(int rank, int world_size) const = 0;
};

/// The command's options, bound to `config`.
Options declared_options(TrainingConfig& config);

/// The text of the run's config.cfg; empty without the file. Refuses one that holds no options.
std::optional<std::string> stored_configuration(const std::filesystem::path& run_directory);

/// The stored configuration of the run in a directory: config.cfg, or that of its newest checkpoint
/// if the file is lost; without --resume and --stop-before-minutes, which belong to a start. Empty
/// without a run.
/// Refuses a run of another command.
std::optional<StoredText> stored_run_options(const std::filesystem::path& run_directory,
                                             const std::string& command);

/// The first section of a stored configuration, which names the run's command; "" if it has none.
std::string stored_section(const std::string& text);

/// Refuses a stored configuration of a run of another command.
void require_run_of(const std::string& command, const StoredText& stored);

/// Makes --data and --run-dir required, unless the run directory holds a run: its stored
/// configuration (that of its newest checkpoint, if config.cfg is lost) then gives all options that
/// are not given. --resume and --stop-before-minutes
/// belong to a start, not to the run, and are not taken over.
void continue_stored_run(Options& options, const TrainingConfig& config);

/// Declares --device, --precision, ..., --loader-threads under their own heading.
void declare_training_device_options(Options& options, TrainingConfig& config);

/// Reads the stored configuration of a run (config.cfg, or that of a checkpoint) into `options`,
/// replacing values that have been renamed since.
void read_stored_options(Options& options, const std::string& text, const std::string& origin);

}  // namespace simclr
