#pragma once
// Linear evaluation on cached features: multinomial logistic regression.

#include <cstdint>

#include "simclr/backend/backend.hpp"
#include "simclr/eval/features.hpp"

namespace simclr {

struct LinearCachedConfig {
  std::int64_t classes = 0;
  /// Penalty l2/(2K) |W|^2 beside the mean cross-entropy; the bias goes free. Over the K classes
  /// because so does the curvature of the cross-entropy: one value serves 10 classes and 1000.
  double l2 = 1e-3;
  int max_iterations = 1000;
  double tolerance = 1e-3;  ///< converged when no component of the gradient exceeds tolerance/K
};

struct LinearCachedResult {
  Accuracy test;
  double train_loss = 0;  ///< objective: mean cross-entropy and penalty
  double gradient_maximum = 0;
  int iterations = 0;
  bool converged = false;
};

/// Fits W, b on `train` and measures them on `test`:
///   minimise  mean_i CE(softmax(W x_i + b), y_i) + l2/(2K) |W|^2,   x = (h - mean) / deviation,
/// mean and deviation per channel over the training features, so that neither the scale of h nor
/// that of its channels matters and one l2 serves every encoder. The problem is strictly convex in
/// W; L-BFGS from zero finds its one solution, whatever the number of ranks, to rounding.
/// Every rank holds a part of both. Collective; the features are standardised in place.
LinearCachedResult linear_cached(LabelledFeatures train, LabelledFeatures test,
                                 const LinearCachedConfig& config, Backend& backend,
                                 Communicator& world);

}  // namespace simclr
