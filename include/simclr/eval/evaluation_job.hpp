#pragma once
// What the evaluation commands share: their options, a checkpoint's encoder, data sets, results.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "simclr/core/options.hpp"
#include "simclr/eval/frozen_encoder.hpp"
#include "simclr/train/training_job.hpp"

namespace simclr {

struct EvaluationConfig {
  std::filesystem::path checkpoint;             ///< a file, or a run directory
  std::filesystem::path train_data, test_data;  ///< labelled shard sets
  std::optional<std::filesystem::path> output;  ///< default: RUN/eval/NAME.json
  std::optional<std::string> name;              ///< default: PROTOCOL-step-0000000100
  std::int64_t feature_batch = 64;              ///< images a rank encodes at a time
  CacheMode cache = CacheMode::automatic;
  std::optional<DryRun> dry_run;  ///< of an EvaluationJob
  /// In fp32 wherever it runs, unless asked otherwise: a result then depends on no device.
  DeviceOptions device{.precision = Precision::fp32};
};

/// --checkpoint, --device, --precision, ...: what every job on a checkpoint takes.
void declare_encoder_options(Options& options, EvaluationConfig& config);
/// The above and --train-data, --test-data, --output, --name, --dry-run.
void declare_evaluation_options(Options& options, EvaluationConfig& config);

/// An opened checkpoint and the device it runs on. Collective; everything that can be refused is
/// refused when it is created.
class EncoderJob {
 public:
  EncoderJob(const EvaluationConfig& config, Communicator& world);

  [[nodiscard]] const FrozenEncoder& encoder() const { return encoder_; }
  [[nodiscard]] Backend& backend() { return *backend_; }
  [[nodiscard]] int threads() const { return threads_; }
  [[nodiscard]] DType activations() const { return activations_; }
  /// `batch_samples`: of a batch on this rank.
  std::unique_ptr<SampleStore> open(const std::filesystem::path& data, std::int64_t batch_samples);
  ExtractedFeatures features(const std::filesystem::path& data, bool with_head);

 protected:
  [[nodiscard]] const EvaluationConfig& config() const { return config_; }

 private:
  EvaluationConfig config_;
  Communicator* world_;
  Watchdog watchdog_;
  FrozenEncoder encoder_;
  int threads_;
  std::unique_ptr<Backend> backend_;
  DType activations_;
  bool begun_ = false;
};

/// An evaluation of an encoder with a labelled training and test set.
class EvaluationJob : public EncoderJob {
 public:
  /// `protocol` is the result's: "knn", "linear-cached", "linear-augmented". Refuses unlabelled
  /// data, labels of the test set that the training set has not, and a checkpoint outside a run
  /// directory without --output.
  EvaluationJob(const EvaluationConfig& config, std::string protocol, Communicator& world);

  [[nodiscard]] std::int64_t classes() const { return classes_; }
  [[nodiscard]] std::int64_t train_samples() const { return train_samples_; }

  /// With --dry-run: makes the checks that are left, those of the memory that the cache takes, says
  /// on rank 0 in one line what the command would do, and returns true. Collective.
  [[nodiscard]] bool ends_dry() const;

  /// Rank 0 writes the result and says it in one line. `details` is a JSON object of what this
  /// protocol adds, "" for nothing.
  void report(const Accuracy& accuracy, const Options& options, const std::string& details) const;

 private:
  std::string protocol_;
  Communicator* world_;
  std::filesystem::path output_;
  std::string train_name_, test_name_;
  std::int64_t classes_ = 0;
  std::int64_t train_samples_ = 0, test_samples_ = 0;
};

}  // namespace simclr
