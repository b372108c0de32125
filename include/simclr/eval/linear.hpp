#pragma once
// Linear evaluation of a frozen encoder: multinomial logistic regression on cached features, and
// the protocol of the SimCLR paper (appendix B.6), a linear classifier trained on h of randomly
// cropped and flipped images with the encoder in inference mode.

#include <cstdint>
#include <string>

#include "simclr/backend/backend.hpp"
#include "simclr/eval/features.hpp"
#include "simclr/eval/frozen_encoder.hpp"
#include "simclr/eval/predictions.hpp"

namespace simclr {

struct LinearCachedConfig {
  std::int64_t classes = 0;
  /// Penalty l2/(2K) |W|^2, added to the mean cross-entropy; the bias is not penalized. Divided by
  /// the number K of classes, as the curvature of the cross-entropy scales with 1/K: one value then
  /// suits 10 classes and 1000.
  double l2 = 1e-3;
  int max_iterations = 1000;
  double tolerance = 1e-3;  ///< converged when no component of the gradient exceeds tolerance/K
  Predictions::Keep keep = Predictions::Keep::best;
};

struct LinearCachedResult {
  Predictions test;       ///< of this rank's part
  double train_loss = 0;  ///< objective: mean cross-entropy and penalty
  double gradient_maximum = 0;
  int iterations = 0;
  bool converged = false;
};

/// Fits W, b on `train` and classifies `test` with them; the scores are the logits:
///   minimize  mean_i CE(softmax(W x_i + b), y_i) + l2/(2K) |W|^2,   x = (h - mean) / deviation,
/// with mean and deviation of each channel over the training features, so that the scale of h and
/// of its channels does not matter and one l2 suits every encoder. The problem is strictly convex
/// in W, so L-BFGS from zero finds its only solution, up to rounding, on any number of ranks. Every
/// rank passes a part of both. Collective. The features are standardized in place.
LinearCachedResult linear_cached(LabeledFeatures train, LabeledFeatures test,
                                 const LinearCachedConfig& config, Backend& backend,
                                 Communicator& world);

/// Memory that linear_cached() takes on a rank for a classifier, in bytes: its parameters with
/// L-BFGS's history, and the logits of a block of `rows` rows at most.
double cached_classifier_bytes(std::int64_t rows, std::int64_t channels, std::int64_t classes);

struct LinearAugmentedConfig {
  std::int64_t classes = 0;
  std::int64_t batch_size = 0;  ///< B, global
  std::int64_t epochs = 0;
  double learning_rate = 0.1;  ///< scaled by B/256; cosine to 0, no warm-up
  std::uint64_t seed = 1;
  DType activations = DType::f32;
  int threads = 1;  ///< threads that prepare images
  Predictions::Keep keep = Predictions::Keep::best;
};

struct LinearAugmentedResult {
  Predictions test;       ///< of this rank's part
  double train_loss = 0;  ///< mean cross-entropy over the last epoch
  std::int64_t steps = 0;
  std::string encoder_hash_before, encoder_hash_after;
};

/// Memory that linear_augmented() takes on a rank for the classifier, in bytes.
double augmented_classifier_bytes(std::int64_t local_batch, std::int64_t channels,
                                  std::int64_t classes);

/// Refuses a batch that is larger than the data or not divisible by the number of ranks.
void validate(const LinearAugmentedConfig& config, std::int64_t train_samples, int ranks);

/// Trains the classifier from zero by SGD with Nesterov momentum 0.9 without weight decay, then
/// classifies the evaluation images of `test`; the scores are the logits. Collective. Throws Error
/// if the loss is not finite or the encoder has changed.
LinearAugmentedResult linear_augmented(const FrozenEncoder& encoder, SampleStore& train,
                                       SampleStore& test, const LinearAugmentedConfig& config,
                                       Backend& backend, Communicator& world);

}  // namespace simclr
