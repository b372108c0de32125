#pragma once
// The linear transfer protocol of the SimCLR paper (appendix B.8): logistic regression on h as the
// encoder gives it, with the strength of the L2 penalty chosen on validation data.

#include <cstdint>
#include <string_view>
#include <vector>

#include "simclr/comm/communicator.hpp"
#include "simclr/eval/features.hpp"
#include "simclr/eval/predictions.hpp"

namespace simclr {

/// The rows of a data set that one rank holds. The ranks' parts in rank order make the whole set; a
/// part may be empty.
struct TransferRows {
  LabeledFeatures h;                ///< its labels are empty for multi-label data
  std::vector<std::uint8_t> marks;  ///< multi-label: (rows, K), see ShardSet::marks(); else empty

  /// The rows with these numbers, which ascend.
  [[nodiscard]] TransferRows subset(const std::vector<std::int64_t>& rows) const;
  /// The other rows.
  [[nodiscard]] TransferRows without(const std::vector<std::int64_t>& rows) const;
};

enum class TransferMetric : std::uint8_t {
  top1,
  mean_per_class,  ///< accuracy of each class that has samples, averaged
  ap11,            ///< 11-point average precision of each class that has samples, averaged
};

struct TransferConfig {
  std::int64_t classes = 0;
  bool multi_label = false;       ///< a sigmoid for each class instead of a softmax over all
  std::vector<double> penalties;  ///< lambda, from strong to weak; above 0
  TransferMetric metric = TransferMetric::top1;
  int max_iterations = 1000;  ///< of one fit
  Predictions::Keep keep = Predictions::Keep::best;
};

struct TransferResult {
  /// One fit on the training rows.
  struct Point {
    double penalty = 0;
    double validation = 0;  ///< the metric on the validation rows
    int iterations = 0;
    bool converged = false;
  };
  std::vector<Point> path;  ///< in the order of the penalties
  std::size_t chosen = 0;   ///< index of the path; of equal metrics, the strongest penalty's
  /// The fit on training and validation rows with the chosen penalty.
  double objective = 0;  ///< J, see linear_transfer()
  int iterations = 0;
  bool converged = false;
  double test = 0;          ///< the metric on the test rows
  Predictions predictions;  ///< of this rank's test rows; empty for multi-label data
};

/// Fits W, b for each penalty lambda on `train`, chooses the lambda of the best metric on
/// `validation`, fits again on both, and measures on `test`:
///   minimize  J = sum_i loss_i(W h_i + b) + lambda/2 |W|^2
/// (scikit-learn's LogisticRegression with C = 1/lambda), see logistic.hpp. Each fit starts from
/// the one before. Every rank passes a part of all. Refuses validation or test rows of which no
/// class has a sample, naming the option. Collective.
TransferResult linear_transfer(const TransferRows& train, const TransferRows& validation,
                               const TransferRows& test, const TransferConfig& config,
                               Communicator& world);

/// Memory that linear_transfer() takes on a rank for the classifier, in bytes.
double transfer_classifier_bytes(std::int64_t channels, std::int64_t classes, int threads);

}  // namespace simclr
