#pragma once
// What a classifier predicts for each test sample, and the accuracy that follows from it: of all
// samples, of each class, and as a confusion matrix. Every evaluation measures through this file.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "simclr/comm/communicator.hpp"
#include "simclr/eval/features.hpp"

namespace simclr {

class EvaluationLoader;
class Executor;

/// The most classes whose confusion matrix a result has; larger ones go to the predictions file.
inline constexpr std::int64_t kMostConfusionClasses = 100;

/// Predictions for the consecutive test samples that one rank holds. The ranks' parts in rank order
/// make the whole test set; a part may be empty.
class Predictions {
 public:
  static constexpr std::int64_t kBest = 5;
  enum class Keep : bool { best, scores };

  Predictions() = default;
  /// K classes. Keep::scores takes 4 K bytes of memory for each sample.
  explicit Predictions(std::int64_t classes, Keep keep = Keep::best)
      : classes_(classes), keep_(keep) {}

  /// Appends rows, to be filled by set(). Returns the first of them.
  std::int64_t append_rows(std::int64_t count);
  /// Sets a row's label and scores (K), which rank the classes: the class of the largest score is
  /// first; of equal scores, the lower class. Different rows may be set by different threads.
  /// T is float or double.
  template <class T>
  void set(std::int64_t row, std::int64_t label, std::span<const T> scores);
  /// Appends rows with these labels and scores (rows, K).
  void append(std::span<const std::int64_t> labels, std::span<const float> scores);

  [[nodiscard]] std::int64_t classes() const { return classes_; }
  [[nodiscard]] std::int64_t rows() const { return std::ssize(labels_); }
  [[nodiscard]] const std::vector<std::int64_t>& labels() const { return labels_; }
  /// (rows, 5): the five classes that rank first. -1: there are fewer classes, or the scores of the
  /// others are NaN.
  [[nodiscard]] const std::vector<std::int32_t>& best() const { return best_; }
  /// (rows, K) with Keep::scores, else empty.
  [[nodiscard]] const std::vector<float>& scores() const { return scores_; }

 private:
  std::int64_t classes_ = 0;
  Keep keep_ = Keep::best;
  std::vector<std::int64_t> labels_;
  std::vector<std::int32_t> best_;
  std::vector<float> scores_;
};

/// Classifies this rank's test images with the forward pass of a program of record_classifier(),
/// whose executor stages its inputs. Asks `goes_on` before every batch, on all ranks together;
/// returns nothing if that said no. Collective.
std::optional<Predictions> classify_images(Executor& executor, EvaluationLoader& loader,
                                           Predictions::Keep keep,
                                           const std::function<bool()>& goes_on);

/// Accuracies of the samples of all ranks, as fractions in [0, 1].
struct ClassAccuracy {
  Accuracy all;
  std::vector<std::optional<double>> per_class;  ///< (K); unset for a class without samples
  double mean_per_class = 0;                     ///< over the classes that have samples
  /// (K, K): number of samples of the row's class that are predicted as the column's class. Empty
  /// for more than kMostConfusionClasses classes.
  std::vector<std::int64_t> confusion;
};

/// Measures the predictions of all ranks. Every rank gets the result. Collective. Throws Error if
/// a sample has no predicted class, because its scores are NaN.
ClassAccuracy class_accuracy(const Predictions& part, Communicator& world);

/// A JSON object for a result: `top1`, `top5`, `samples`, `mean_per_class`, `per_class_accuracy` (a
/// list with null for a class without samples) and, if there is one, `confusion` (a list of rows).
std::string to_json(const ClassAccuracy& accuracy);

/// What a predictions file says of its origin. `evaluation` tells an evaluation from all others.
/// `samples`: the index in the data set of each sample of the test set, in the order of all ranks'
/// predictions.
struct PredictionsOrigin {
  std::string protocol, checkpoint_hash, test_data_hash, evaluation;
  std::span<const std::int64_t> samples;
};

/// Writes all ranks' predictions, made with Keep::scores, to one HDF5 file, in the order of the
/// test set. Datasets: `label` i64 (n), `sample` i64 (n), `top5` i32 (n,5), `scores` f32 (n,K); and
/// `confusion` i64 (K,K) where the result has none, for up to 4096 classes. Attributes: `format`,
/// `version`, `protocol`, `checkpoint_hash`, `test_data_hash`, `origin`, `classes`. Rank 0 writes
/// one rank's part at a time. Collective.
void write_predictions(const std::filesystem::path& file, const Predictions& part,
                       const PredictionsOrigin& origin, Communicator& world);

}  // namespace simclr
