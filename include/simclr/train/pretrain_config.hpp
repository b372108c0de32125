#pragma once
// The options of `pretrain`, shared by every command that takes them (preview, bench step).

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "simclr/augment/augmentation.hpp"
#include "simclr/core/options.hpp"
#include "simclr/data/loader.hpp"
#include "simclr/data/sampler.hpp"
#include "simclr/nn/model.hpp"
#include "simclr/optim/optimizer.hpp"
#include "simclr/train/device.hpp"
#include "simclr/train/model_description.hpp"

namespace simclr {

enum class StemChoice : std::uint8_t { automatic, imagenet, cifar };
enum class LossKind : std::uint8_t { nt_xent };
enum class Recompute : std::uint8_t { none, blocks };

/// Defaults are the paper's ImageNet settings.
struct PretrainConfig {
  // data
  std::filesystem::path data, eval_data;
  std::int64_t image_size = 224;
  CacheMode cache = CacheMode::automatic;
  Shuffle shuffle = Shuffle::full;
  // encoder and head
  std::string encoder = "resnet50";
  double width = 1;
  StemChoice stem = StemChoice::automatic;
  bool projection_shortcut_everywhere = false;
  HeadSpec head;
  // batch and loss
  std::int64_t batch_size = 4096;
  std::string bn_group = "global";
  LossKind loss = LossKind::nt_xent;
  double temperature = 0.1;
  // augmentation
  std::vector<std::string> augment{"crop", "flip", "color", "gray", "blur"};
  double color_strength = 1;
  bool additive_brightness = false;
  Interpolation interpolation = Interpolation::bicubic;
  std::vector<double> mean, std;
  // optimizer
  OptimizerKind optimizer = OptimizerKind::lars;
  double learning_rate = 0.3;
  LearningRateScaling lr_scaling = LearningRateScaling::linear;
  double warmup_epochs = 10;
  double weight_decay = 1e-6;
  double momentum = 0.9;
  // length
  std::int64_t epochs = 100;
  std::optional<std::int64_t> max_steps;
  // device
  DeviceOptions device;
  int loader_threads = 0;  ///< 0: as many as compute threads
  Recompute recompute = Recompute::none;
  // run
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

  /// Refuses options that do not go together, whatever the data and the ranks. (What a single
  /// option accepts stands at its declaration.)
  void validate() const;
  /// Refuses batches and BN groups that cannot be spread over this many ranks.
  void validate_ranks(int world_size) const;

  [[nodiscard]] EncoderSpec encoder_spec() const;
  [[nodiscard]] ModelDescription model() const;
  [[nodiscard]] AugmentationConfig augmentation() const;
  [[nodiscard]] OptimizerSpec optimizer_spec() const;
  [[nodiscard]] Schedule schedule(std::int64_t steps_per_epoch) const;
  /// The training program of one rank; the precision is resolved. Refuses what does not fit the
  /// number of ranks.
  [[nodiscard]] PretrainingSpec program_spec(int rank, int world_size) const;
  /// BN groups on `world_size` ranks. Refuses group sizes that fit neither way.
  [[nodiscard]] BatchNormSpec batch_norm_spec(int world_size) const;
};

/// Declares every option of `pretrain`, bound to the fields of `config`, in the help text's groups.
void declare_pretrain_options(Options& options, PretrainConfig& config);

/// Reads the configuration that a run has stored (its config.cfg, a checkpoint's) into `options`,
/// as declared above; values that have since been renamed are those of today.
void read_stored_options(Options& options, const std::string& text, const std::string& origin);

/// Refuses batches that the data cannot fill.
void validate_data(const PretrainConfig& config, const ShardSetInfo& data);

/// Refuses a run directory that holds a run of another configuration, or any run with --resume
/// none. Reads only. Returns the precision that the run began in; empty for a new run.
std::optional<Precision> validate_run_directory(const PretrainConfig& config);

}  // namespace simclr
