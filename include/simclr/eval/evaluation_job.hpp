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
#include "simclr/eval/transfer.hpp"
#include "simclr/io/writable.hpp"
#include "simclr/train/training_job.hpp"

namespace simclr {

struct EvaluationConfig {
  std::filesystem::path checkpoint;             ///< a file, or a run directory
  std::filesystem::path train_data, test_data;  ///< labeled shard sets; default: the run's
  std::optional<std::filesystem::path> output;  ///< default: RUN/eval/NAME.json
  std::optional<std::string> name;              ///< default: PROTOCOL-step-0000000100
  std::optional<std::filesystem::path> predictions;
  std::string layer = "h";          ///< see feature_layers()
  std::int64_t feature_batch = 64;  ///< images a rank encodes at a time
  CacheMode cache = CacheMode::automatic;
  std::optional<DryRun> dry_run;  ///< only for an EvaluationJob
  /// fp32 by default on every device, so that a result does not depend on the device.
  DeviceOptions device{.precision = Precision::fp32};
};

/// Declares --checkpoint, --device, --precision, ...: the options of every job on a checkpoint.
void declare_encoder_options(Options& options, EvaluationConfig& config);
/// Declares --layer.
void declare_layer(Options& options, EvaluationConfig& config);
/// Declares the above and --train-data, --test-data, --dry-run: what evaluations of one call share.
void declare_shared_options(Options& options, EvaluationConfig& config);
/// Declares the above and what names the files of one result: --output, --name, --predictions.
void declare_evaluation_options(Options& options, EvaluationConfig& config);

/// Declares --dry-run.
void declare_dry_run(Options& options, EvaluationConfig& config);

/// What the transfer protocol does with data that other protocols do not.
struct TransferData {
  bool multi_label = false;          ///< takes multi-label data, too
  std::filesystem::path validation;  ///< the data set of --validation, or empty
};

/// Refuses options of a command that do not go with the labeled training samples: their number and
/// their labels, which multi-label data do not have.
using DataCheck =
    std::function<void(std::int64_t samples, const std::vector<std::int64_t>& labels)>;

/// With --dry-run=elsewhere: makes the checks that need neither the checkpoint nor the job's
/// machine, prints a line that says what `command` would do, and returns true. `check_options` also
/// refuses files.
bool finish_dry_run_elsewhere(const EvaluationConfig& config, const std::string& command,
                              Communicator& world, const DataCheck& check_options,
                              const TransferData& transfer = {});

/// An opened checkpoint and the device it runs on. Collective. The constructor makes all checks.
class EncoderJob {
 public:
  EncoderJob(const EvaluationConfig& config, Communicator& world);

  [[nodiscard]] const FrozenEncoder& encoder() const { return encoder_; }
  [[nodiscard]] Backend& backend() { return *backend_; }
  [[nodiscard]] int threads() const { return threads_; }
  [[nodiscard]] DType activations() const { return activations_; }
  [[nodiscard]] std::int64_t feature_channels() const;  ///< of the layer
  /// Caches a data set. `batch_samples`: number of samples in a batch on this rank.
  std::unique_ptr<SampleStore> open(const ShardSet& data, std::int64_t batch_samples);
  /// Computes the features of the layer that --layer names.
  ExtractedFeatures features(SampleStore& store, bool with_head);

 protected:
  EvaluationConfig config_;
  Communicator* world_;

 private:
  Watchdog watchdog_;
  FrozenEncoder encoder_;
  FeatureLayer layer_;
  int threads_;
  std::unique_ptr<Backend> backend_;
  DType activations_;
  bool begun_ = false;
};

struct LabeledData;

/// The checkpoint and the labeled training and test data of one or several evaluations. Without
/// --train-data and --test-data these are the --data and --eval-data of the checkpoint's run.
class EvaluationJob : public EncoderJob {
 public:
  /// Refuses unlabeled data and test labels that the training set lacks. Collective.
  EvaluationJob(const EvaluationConfig& config, Communicator& world,
                const TransferData& transfer = {});
  EvaluationJob(const EvaluationJob&) = delete;
  EvaluationJob& operator=(const EvaluationJob&) = delete;
  ~EvaluationJob();

  [[nodiscard]] std::int64_t classes() const;
  [[nodiscard]] std::int64_t train_samples() const;  ///< those with a label
  [[nodiscard]] std::int64_t test_samples() const;
  [[nodiscard]] const std::vector<std::int64_t>& test_labels() const;
  [[nodiscard]] const LabeledData& train_data() const { return *train_; }
  [[nodiscard]] const LabeledData& test_data() const { return *test_; }
  [[nodiscard]] Communicator& world() const { return *world_; }
  [[nodiscard]] const EvaluationConfig& config() const { return config_; }
  /// Refuses the training data, naming the largest label, if the classifier and the predictions
  /// need more memory than a node has. `rank_bytes`: what each rank takes for the classifier.
  /// Collective.
  void require_classifier_fits(double rank_bytes, Predictions::Keep keep) const;
  /// Refuses data that do not fit in the memory of the job's machine. Collective.
  void require_caches_fit() const;

  std::unique_ptr<SampleStore> open_train(std::int64_t batch_samples);
  std::unique_ptr<SampleStore> open_test(std::int64_t batch_samples);
  /// Features of the layer, which the caller may change. Computed at the first call, and again
  /// unless they are kept.
  LabeledFeatures train_features() { return features_of(train_features_, *train_); }
  LabeledFeatures test_features() { return features_of(test_features_, *test_); }
  /// The stored labels of the training set, negative for samples without one; empty if multi-label.
  [[nodiscard]] const std::vector<std::int64_t>& train_labels() const;
  [[nodiscard]] bool multi_label() const;
  /// Which of this rank's `rows` training features are of these samples of the training set, which
  /// ascend. Ascending. Collective.
  [[nodiscard]] std::vector<std::int64_t> rows_of_samples(const std::vector<std::int64_t>& samples,
                                                          std::int64_t rows) const;
  /// The features with what is to be learned of them. Collective.
  TransferRows train_rows();
  TransferRows test_rows();
  TransferRows validation_rows();  ///< of TransferData::validation
  /// Whether the following calls leave a copy of the features for further calls.
  void keep_features(bool keep) { keep_features_ = keep; }

 private:
  void take_data_of_run();
  void require_data_of_run(const LabeledData& data) const;
  [[nodiscard]] TransferRows with_marks(LabeledFeatures features, const LabeledData& data) const;
  LabeledFeatures features_of(std::optional<LabeledFeatures>& kept, const LabeledData& data);

  std::unique_ptr<LabeledData> train_, test_, validation_;
  std::optional<LabeledFeatures> train_features_, test_features_;
  bool keep_features_ = false;
};

/// Refuses files of --output and --predictions that are certainly not writable.
void require_likely_writable_results(const EvaluationConfig& config);

/// Where the result of one evaluation goes.
class EvaluationResult {
 public:
  /// `config`: names the files. `protocol`: "knn", "linear-cached" or "linear-augmented", written
  /// into the result with the `options`. Refuses, without --output, a checkpoint outside a run
  /// directory, and a result that could not be written or would replace that of another evaluation.
  /// The job must live longer. Collective.
  EvaluationResult(const EvaluationJob& job, EvaluationConfig config, std::string protocol,
                   const Options& options);

  /// What of the predictions report() needs.
  [[nodiscard]] Predictions::Keep kept_predictions() const;
  /// The files that report() writes.
  [[nodiscard]] std::vector<Output> outputs() const;

  /// Makes the last check before the work, after the command has made its own: that the result can
  /// be written. With --dry-run: checks that the cache fits in memory, prints on rank 0 a line that
  /// says what the command would do, and returns true. Collective.
  [[nodiscard]] bool finish_checks() const;

  /// Measures the predictions of all ranks, logs the result in one line and then writes it, on rank
  /// 0, and the predictions with --predictions. `details`: JSON object with what this protocol adds
  /// to the result; "" for nothing. Collective.
  void report(const Predictions& part, const std::string& details) const;
  /// The same for a result that is no prediction of each sample: logs `headline` and writes
  /// `details`. Collective.
  void report(const std::string& headline, const std::string& details) const;

 private:
  void choose_output();
  /// `measured`: a JSON object, whose lists come last in the file.
  void write_result(const std::string& headline, const std::string& measured,
                    const std::string& details) const;

  const EvaluationJob* job_;
  EvaluationConfig config_;
  std::string protocol_;
  std::filesystem::path output_;
  std::string options_, identity_;  // JSON: all options, and what tells evaluations apart
};

}  // namespace simclr
