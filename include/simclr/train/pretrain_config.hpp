#pragma once
// The options and the task of `pretrain`, shared by every command that takes them (preview, plan,
// bench step).

#include <cstdint>
#include <memory>
#include <optional>

#include "simclr/nn/model.hpp"
#include "simclr/train/encoder_training.hpp"
#include "simclr/train/loss_options.hpp"

namespace simclr {

enum class Probe : std::uint8_t { off, on };

/// A linear classifier on h that learns beside the encoder and changes nothing of it.
struct ProbeOptions {
  Probe probe = Probe::off;
  std::int64_t probe_classes = 0;  ///< K; prepare() sets it, or --classes of a plan without data
  std::int64_t probe_every_epochs = 0;
};

/// How often a run is measured beside its training. These options do not change the run.
struct MonitorOptions {
  std::int64_t knn_every_epochs = 0;        ///< 0: never
  std::optional<std::int64_t> knn_bank;     ///< training images whose neighbors are looked for
  std::int64_t eval_images = 0;             ///< of --eval-data; no option: prepare() sets it
  std::int64_t eval_loss_every_epochs = 0;  ///< 0: never
};

/// Images in the bank of the nearest-neighbor monitor unless --knn-bank is given; fewer if the data
/// have fewer labeled ones.
inline constexpr std::int64_t kDefaultKnnBank = 50'000;
/// Images that a rank encodes at a time for it, as `knn` does by default.
inline constexpr std::int64_t kMonitorBatch = 64;

/// The options of `pretrain`. Defaults are the paper's ImageNet settings.
struct PretrainConfig : EncoderTraining, LossOptions, ProbeOptions, MonitorOptions {
  [[nodiscard]] const char* command() const override { return "pretrain"; }
  [[nodiscard]] std::unique_ptr<TrainingConfig> with_defaults() const override;
  [[nodiscard]] std::unique_ptr<EncoderTraining> copy() const override;
  void declare(Options& options) override;
  /// Completes the options of the loss.
  void note_given(const Options& options) override;
  void validate() const override;
  void prepare(const ShardSet& data, OpenWeights open, Communicator& world) override;
  void declare_without_data(Options& options) override;
  void prepare_without_data(std::int64_t samples) override;

  [[nodiscard]] MeasuringMemory measuring_memory(std::int64_t samples, int world_size,
                                                 const StorageBytes& bytes) const override;
  [[nodiscard]] int views_per_sample() const override { return 2; }
  [[nodiscard]] Objective objective() const override;
  [[nodiscard]] Task task(int rank, int world_size) const override;

  /// The spec of one rank's training program. Call it with a resolved precision. Refuses options
  /// that do not fit the number of ranks.
  [[nodiscard]] PretrainingSpec program_spec(int rank, int world_size) const;
};

}  // namespace simclr
