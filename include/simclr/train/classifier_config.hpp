#pragma once
// The options and the tasks of `finetune`, `supervised` and `distill`, which train an encoder with
// a linear classifier on labeled images (SimCLR paper, appendices B.5 and B.3; SimCLRv2), or on
// what a trained classifier says of unlabeled ones.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "simclr/data/labeled_data.hpp"
#include "simclr/train/encoder_training.hpp"
#include "simclr/train/encoder_weights.hpp"
#include "simclr/train/label_options.hpp"

namespace simclr {

/// What these commands have.
struct ClassifierConfig : EncoderTraining, LabelOptions {
  std::int64_t classes = 0;  ///< K; 0: as many as the data have, set by prepare()
  std::optional<std::filesystem::path> predictions;  ///< file of the test images' predictions

  /// Options that are not given may be completed by prepare().
  void note_given(const Options& options) override;
  void validate() const override;
  void validate_data(const ShardSetInfo& info) const override;
  void prepare_without_data(std::int64_t samples) override;
  void prepare(const ShardSet& set, OpenWeights open, Communicator& world) override;
  [[nodiscard]] const SampleChoice* sample_choice() const override;
  [[nodiscard]] bool is_complete() const override { return complete_; }
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> run_files() const override;

  [[nodiscard]] int views_per_sample() const override { return 1; }
  [[nodiscard]] ModelDescription model() const override;
  [[nodiscard]] Objective objective() const override;
  [[nodiscard]] Task task(int rank, int world_size) const override;

  /// The samples chosen by prepare().
  [[nodiscard]] const LabeledSamples& labeled_samples() const { return labeled_; }
  [[nodiscard]] const std::vector<std::string>& class_names() const { return class_names_; }
  /// The labeled samples of --eval-data, found by prepare().
  [[nodiscard]] const LabeledData& test_data() const { return *test_; }
  /// Tells the predictions of this run on these test data from all others.
  [[nodiscard]] std::string predictions_origin() const;
  /// JSON object: what the result of this command says beside that of others.
  [[nodiscard]] virtual std::string result_details() const { return "{}"; }
  /// Layers of the head below the classifier.
  [[nodiscard]] virtual int head_layers() const { return 0; }
  [[nodiscard]] virtual int frozen_groups() const { return kNothingFrozen; }

 protected:
  /// Declares the options in the order of the help text; `declare_model` declares those between
  /// data and batch.
  void declare_all(Options& options, const std::function<void()>& declare_model);
  /// Declares what says which samples and labels are trained on, under its own heading.
  virtual void declare_labels(Options& options);
  /// Chooses the samples; sets `classes` if only the data say how many there are. Collective.
  virtual LabeledSamples choose_samples(const ShardSet& set, Communicator& world);
  /// The model that the classifier learns from beside labels.
  [[nodiscard]] virtual std::optional<TeacherSpec> teacher_spec() const { return {}; }
  /// How the classifier's weights begin and are regularized.
  [[nodiscard]] virtual ClassifierInit classifier_init() const = 0;
  /// Completes options from what lies outside of the command: reads weights, on rank 0.
  virtual void complete(OpenWeights open, const LabeledSamples& labeled);
  [[nodiscard]] bool is_given(const std::string& option) const { return given_.contains(option); }
  /// Sets options that are not given: pairs of name and value.
  void set_defaults(const std::vector<std::pair<std::string, std::string>>& values);

  /// Takes these options of the encoder, head and preprocessing from a model; refuses other values
  /// of them, if they are given.
  void take_over(const EncoderWeights& from, std::span<const char* const> names);

  /// Makes a batch size that is not given at most the largest power of 2 of so many samples.
  void fit_batch(std::int64_t samples);

  bool complete_ = true;

 private:
  void take_over_stored_run();
  void require_predictions_file() const;
  void require_labels_file() const;
  void share_options(Communicator& world);

  std::set<std::string> given_;
  LabeledSamples labeled_;
  std::optional<LabeledData> test_;
  std::vector<std::string> class_names_;  // of the training data
};

/// The paper's supervised training: SGD with Nesterov momentum 0.9, learning rate 0.1 N/256 with a
/// cosine to 0, weight decay 1e-4 on all but batch norm, 90 epochs; weights from N(0, 0.01).
struct SupervisedConfig : ClassifierConfig {
  SupervisedConfig();
  [[nodiscard]] const char* command() const override { return "supervised"; }
  [[nodiscard]] std::unique_ptr<TrainingConfig> with_defaults() const override;
  [[nodiscard]] std::unique_ptr<EncoderTraining> copy() const override;
  void declare(Options& options) override;

 protected:
  [[nodiscard]] ClassifierInit classifier_init() const override;
};

/// v1: SGD with Nesterov momentum 0.9, learning rate 0.05 N/256 (SimCLR paper, B.5). v2: LARS,
/// learning rate 0.005 sqrt(N), the classifier without trust ratio (SimCLRv2's code). Both: cosine
/// to 0 without warm-up, no weight decay, 60 epochs with at most 2 % of the labels, else 30.
/// automatic: v1 for weights pretrained with a weight decay below 1e-5, else v2: smaller weights
/// need LARS.
enum class Recipe : std::uint8_t { automatic, v1, v2 };

struct FinetuneConfig : ClassifierConfig {
  std::filesystem::path checkpoint, weights;  ///< one of them, unless the run has begun
  std::string weights_hash;                   ///< of what they hold; set by the program
  Recipe recipe = Recipe::automatic;
  int from_head_layer = 0;  ///< 0: h; k: the head's k-th layer; -1: its last, z
  int freeze = kNothingFrozen;

  FinetuneConfig();
  [[nodiscard]] const char* command() const override { return "finetune"; }
  [[nodiscard]] std::unique_ptr<TrainingConfig> with_defaults() const override;
  [[nodiscard]] std::unique_ptr<EncoderTraining> copy() const override;
  void declare(Options& options) override;
  void validate() const override;
  void prepare_without_data(std::int64_t samples) override;

  [[nodiscard]] std::string result_details() const override;
  [[nodiscard]] int head_layers() const override;
  [[nodiscard]] int frozen_groups() const override { return freeze; }
  [[nodiscard]] std::vector<Part> initial_parts() const override;
  void load_initial_weights(Trainer& trainer, Communicator& world) override;

 protected:
  [[nodiscard]] ClassifierInit classifier_init() const override;
  void complete(OpenWeights open, const LabeledSamples& labeled) override;

 private:
  [[nodiscard]] EncoderWeights read_weights() const;
  /// Sets what the recipe decides for training on `samples` of the `labeled` samples there are.
  void apply_recipe(std::int64_t samples, std::int64_t labeled);

  /// The weights that a new run begins with, on rank 0 from complete() to load_initial_weights().
  std::shared_ptr<const EncoderWeights> initial_;
};

/// Distillation (SimCLRv2, section 2): the student learns the softmax of a classifier that was
/// trained with labels, on images that need none. The paper's: crops and flips, LARS, learning rate
/// 0.1 sqrt(N), weight decay 1e-4, 400 epochs with 5 % of warm-up. The student has the teacher's
/// encoder unless --encoder names another.
struct DistillConfig : ClassifierConfig {
  std::filesystem::path teacher;  ///< a run directory or a checkpoint
  std::string teacher_hash;       ///< of what it holds; set by the program
  double temperature = 1;
  double label_weight = 0;

  DistillConfig();
  [[nodiscard]] const char* command() const override { return "distill"; }
  [[nodiscard]] std::unique_ptr<TrainingConfig> with_defaults() const override;
  [[nodiscard]] std::unique_ptr<EncoderTraining> copy() const override;
  void declare(Options& options) override;
  void prepare_without_data(std::int64_t samples) override;
  void prepare(const ShardSet& set, OpenWeights open, Communicator& world) override;

  [[nodiscard]] std::string result_details() const override;
  [[nodiscard]] Objective objective() const override;
  [[nodiscard]] std::vector<Part> initial_parts() const override;
  void load_frozen_weights(Trainer& trainer, Communicator& world) override;

 protected:
  void declare_labels(Options& options) override;
  LabeledSamples choose_samples(const ShardSet& set, Communicator& world) override;
  [[nodiscard]] std::optional<TeacherSpec> teacher_spec() const override;
  [[nodiscard]] ClassifierInit classifier_init() const override;
  void complete(OpenWeights open, const LabeledSamples& labeled) override;

 private:
  [[nodiscard]] EncoderWeights read_teacher() const;

  std::int64_t labels_ = 0;                        ///< labeled samples that take part in the loss
  std::optional<ModelDescription> teacher_model_;  ///< set by prepare(), if it is complete
  /// The teacher's, which rank 0 reads; given up by load_frozen_weights().
  std::shared_ptr<const EncoderWeights> teacher_weights_;
};

}  // namespace simclr
