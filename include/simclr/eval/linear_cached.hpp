#pragma once
// Linear evaluation on cached features: multinomial logistic regression.

#include <cstdint>

#include "simclr/backend/backend.hpp"
#include "simclr/eval/features.hpp"

namespace simclr {

struct LinearCachedConfig {
  std::int64_t classes = 0;
  /// Penalty l2/(2K) |W|^2, added to the mean cross-entropy; the bias is not penalized. Divided by
  /// the number K of classes, as the curvature of the cross-entropy scales with 1/K: one value then
  /// suits 10 classes and 1000.
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
///   minimize  mean_i CE(softmax(W x_i + b), y_i) + l2/(2K) |W|^2,   x = (h - mean) / deviation,
/// with mean and deviation of each channel over the training features, so that the scale of h and
/// of its channels does not matter and one l2 suits every encoder. The problem is strictly convex
/// in W, so L-BFGS from zero finds its only solution, up to rounding, on any number of ranks. Every
/// rank passes a part of both. Collective. The features are standardized in place.
LinearCachedResult linear_cached(LabeledFeatures train, LabeledFeatures test,
                                 const LinearCachedConfig& config, Backend& backend,
                                 Communicator& world);

}  // namespace simclr
