#pragma once
// Logistic regression in double precision on features that are spread over the ranks.

#include <cstdint>
#include <span>
#include <vector>

#include "simclr/comm/communicator.hpp"
#include "simclr/eval/transfer.hpp"

namespace simclr {

/// Minimizes, over the rows x_i of all parts and ranks,
///   J(W, b) = sum_i loss_i(W x_i + b) + penalty/2 |W|^2,
/// where loss_i is the cross-entropy of the softmax with the row's label or, for multi-label rows,
/// the sum over classes of the cross-entropy of the sigmoid with the mark, without ignored marks.
/// The bias is not penalized.
///
/// The scales of the channels differ widely and channels depend on each other, so that L-BFGS on W
/// itself would need very many iterations. It works on V = L^T (W, b) instead, where
/// L L^T = q X^T X + penalty approximates the second derivative of J: X are the rows less their
/// mean, and q is the mean of p(1-p) at the start. V stands for the same W, b, so that the minimum
/// of J is the same. All sums are f64: near the minimum, where samples are classified with
/// certainty, f32 would lose the gradient.
class LogisticRegression {
 public:
  struct Shape {
    std::int64_t channels = 0;  ///< C
    std::int64_t classes = 0;   ///< K
    bool multi_label = false;
  };
  using Parts = std::vector<const TransferRows*>;
  /// W transposed and, in row C, the bias for centered features: (padded C+1, padded K), f64.
  using Model = std::vector<double>;

  struct Fit {
    Model model;
    double objective = 0;
    int iterations = 0;
    bool converged = false;
  };

  /// The parts must stay as they are. Collective.
  LogisticRegression(const Shape& shape, Parts parts, Communicator& world);

  /// The model of zeros.
  [[nodiscard]] Model zero_model() const;
  /// Finds the minimum from `start`, which may come from other parts that have the same center.
  /// Converged: J is within about 1e-8 J of its minimum. Collective.
  [[nodiscard]] Fit fit(double penalty, const Model& start, int max_iterations) const;
  /// Scores of rows (rows, K): logits.
  [[nodiscard]] std::vector<double> scores(const Model& model, const TransferRows& rows) const;

  /// Replaces the parts, and keeps the center, so that models stay valid. Collective.
  void set_parts(Parts parts);

  /// Memory of a rank beside the features, in bytes.
  static double bytes(const Shape& shape, int threads);

 private:
  struct Sums {
    double loss = 0;
    double uncertainty = 0;  ///< sum of p(1-p) over all rows and classes
  };
  [[nodiscard]] Sums add_up(const Model& model, std::span<double> gradient) const;
  [[nodiscard]] double squared_weights(const Model& model) const;
  [[nodiscard]] std::vector<double> factor(double penalty, double curvature) const;
  void load_rows(const TransferRows& rows, std::int64_t first, std::int64_t count,
                 std::span<double> out) const;

  Shape shape_;
  std::int64_t inputs_, outputs_;  // C+1 and K, padded
  Parts parts_;
  Communicator* world_;
  std::vector<double> center_;   // C: mean of the first parts' rows
  std::vector<double> moments_;  // (inputs, inputs): X^T X over all ranks, with the bias's ones
  double rows_ = 0;              // of all ranks
};

}  // namespace simclr
