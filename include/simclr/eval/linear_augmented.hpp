#pragma once
// The linear evaluation protocol of the SimCLR paper (appendix B.6): a linear classifier trained on
// h of randomly cropped and flipped images, the encoder frozen in inference mode.

#include <cstdint>
#include <string>

#include "simclr/eval/frozen_encoder.hpp"

namespace simclr {

struct LinearAugmentedConfig {
  std::int64_t classes = 0;
  std::int64_t batch_size = 0;  ///< B, global
  std::int64_t epochs = 0;
  double learning_rate = 0.1;  ///< scaled by B/256; cosine to 0, no warm-up
  std::uint64_t seed = 1;
  DType activations = DType::f32;
  int threads = 1;  ///< threads that prepare images
};

struct LinearAugmentedResult {
  Accuracy test;
  double train_loss = 0;  ///< mean cross-entropy over the last epoch
  std::int64_t steps = 0;
  std::string encoder_hash_before, encoder_hash_after;
};

/// Refuses a batch that is larger than the data or not divisible by the number of ranks.
void validate(const LinearAugmentedConfig& config, std::int64_t train_samples, int ranks);

/// Trains the classifier from zero by SGD with Nesterov momentum 0.9 without weight decay, then
/// measures accuracy on the evaluation images of `test`. Collective. Throws Error if the loss is
/// not finite or the encoder has changed.
LinearAugmentedResult linear_augmented(const FrozenEncoder& encoder, SampleStore& train,
                                       SampleStore& test, const LinearAugmentedConfig& config,
                                       Backend& backend, Communicator& world);

}  // namespace simclr
