#pragma once
// Shared by the evaluation commands: options, a checkpoint's encoder, data sets, results.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "simclr/core/options.hpp"
#include "simclr/eval/frozen_encoder.hpp"
#include "simclr/eval/predictions.hpp"
#include "simclr/io/writable.hpp"
#include "simclr/train/training_job.hpp"

namespace simclr {

struct EvaluationConfig {
  std::filesystem::path checkpoint;             ///< a file, or a run directory
  std::filesystem::path train_data, test_data;  ///< labeled shard sets; default: the run's
  std::optional<std::filesystem::path> output;  ///< default: RUN/eval/NAME.json
  std::optional<std::string> name;              ///< default: PROTOCOL-step-0000000100
  std::optional<std::filesystem::path> predictions;
  std::int64_t feature_batch = 64;  ///< images a rank encodes at a time
  CacheMode cache = CacheMode::automatic;
  std::optional<DryRun> dry_run;  ///< only for an EvaluationJob
  /// fp32 by default on every device, so that a result does not depend on the device.
  DeviceOptions device{.precision = Precision::fp32};
};

/// Declares --checkpoint, --device, --precision, ...: the options of every job on a checkpoint.
void declare_encoder_options(Options& options, EvaluationConfig& config);
/// Declares the above and --train-data, --test-data, --output, --name, --dry-run.
void declare_evaluation_options(Options& options, EvaluationConfig& config);

/// Declares --dry-run.
void declare_dry_run(Options& options, EvaluationConfig& config);

/// With --dry-run=elsewhere: makes the checks that need neither the checkpoint nor the job's
/// machine, prints a line that says what `command` would do, and returns true. `check_options`
/// refuses options of the command that do not go with this number of training samples.
bool finish_dry_run_elsewhere(const EvaluationConfig& config, const std::string& command,
                              Communicator& world,
                              const std::function<void(std::int64_t samples)>& check_options);

/// An opened checkpoint and the device it runs on. Collective. The constructor makes all checks.
class EncoderJob {
 public:
  EncoderJob(const EvaluationConfig& config, Communicator& world);

  [[nodiscard]] const FrozenEncoder& encoder() const { return encoder_; }
  [[nodiscard]] Backend& backend() { return *backend_; }
  [[nodiscard]] int threads() const { return threads_; }
  [[nodiscard]] DType activations() const { return activations_; }
  /// Caches a data set. `batch_samples`: number of samples in a batch on this rank.
  std::unique_ptr<SampleStore> open(const ShardSet& data, std::int64_t batch_samples);
  ExtractedFeatures features(SampleStore& store, bool with_head);

 protected:
  EvaluationConfig config_;
  Communicator* world_;

 private:
  Watchdog watchdog_;
  FrozenEncoder encoder_;
  int threads_;
  std::unique_ptr<Backend> backend_;
  DType activations_;
  bool begun_ = false;
};

struct LabeledData;

/// An evaluation of an encoder on the labeled samples of a training and a test set. Without
/// --train-data and --test-data these are the --data and --eval-data of the checkpoint's run.
class EvaluationJob : public EncoderJob {
 public:
  /// `protocol`: "knn", "linear-cached" or "linear-augmented", written into the result with the
  /// `options`. Refuses unlabeled data, test labels that the training set lacks, without --output
  /// a checkpoint outside a run directory, and a result that could not be written or would replace
  /// that of another evaluation.
  EvaluationJob(const EvaluationConfig& config, std::string protocol, const Options& options,
                Communicator& world);
  EvaluationJob(const EvaluationJob&) = delete;
  EvaluationJob& operator=(const EvaluationJob&) = delete;
  ~EvaluationJob();

  [[nodiscard]] std::int64_t classes() const;
  [[nodiscard]] std::int64_t train_samples() const;  ///< those with a label
  [[nodiscard]] std::int64_t test_samples() const;
  /// What of the predictions report() needs.
  [[nodiscard]] Predictions::Keep kept_predictions() const;
  /// Refuses the training data, naming the largest label, if the classifier needs more memory than
  /// a node has. `rank_bytes`: what each rank takes for it. Collective.
  void require_classifier_fits(double rank_bytes) const;

  std::unique_ptr<SampleStore> open_train(std::int64_t batch_samples);
  std::unique_ptr<SampleStore> open_test(std::int64_t batch_samples);
  LabeledFeatures train_features();
  LabeledFeatures test_features();

  /// Makes the last check before the work, after the command has made its own: that the result can
  /// be written. With --dry-run: checks that the cache fits in memory, prints on rank 0 a line that
  /// says what the command would do, and returns true. Collective.
  [[nodiscard]] bool finish_checks() const;

  /// Measures the predictions of all ranks, logs the result in one line and then writes it, on rank
  /// 0, and the predictions with --predictions. `details`: JSON object with what this protocol adds
  /// to the result; "" for nothing. Collective.
  void report(const Predictions& part, const std::string& details) const;

 private:
  void take_data_of_run();
  void require_data_of_run(const LabeledData& data) const;
  void choose_output();
  void write_result(const ClassAccuracy& measured, const std::string& details) const;
  [[nodiscard]] std::vector<Output> outputs() const;

  std::string protocol_;
  std::filesystem::path output_;
  std::unique_ptr<LabeledData> train_, test_;
  std::string options_, identity_;  // JSON: all options, and what tells evaluations apart
};

}  // namespace simclr
