#pragma once
// Normalised layers: a convolution or linear layer followed by batch normalisation. The pieces meet
// in `apply`, `apply_relu` or `join`, where the normalisation is fused with what follows it.

#include <optional>
#include <string>

#include "simclr/nn/model.hpp"
#include "simclr/program/recorder.hpp"

namespace simclr::nn {

/// How batch normalisation runs in the program that is being recorded.
struct BatchNormContext {
  BatchNormSpec spec;
  std::int64_t local_samples = 1;  ///< samples of this rank (their views share a BN group)
  bool training = true;            ///< false: running statistics, no updates
};

/// y and its normalisation, not yet applied.
struct Normalised {
  TensorId y, gamma, affine, saved;
  std::optional<TensorId> beta;
  BnGroups groups;
  double count = 1;  ///< views times pixels of a group, over all ranks
  bool synchronised = false;
};

struct BatchNormOptions {
  bool with_beta = true;
  float initial_gamma = 1;
};

/// Statistics and normalisation constants of y (V,H,W,C) or (V,C); parameters `name`.weight, .bias.
Normalised batch_norm(Recorder& recorder, const BatchNormContext& context, const std::string& name,
                      TensorId y, const BatchNormOptions& options = {});

/// z = BN(y), or ReLU(BN(y)).
TensorId apply(Recorder& recorder, const Normalised& layer);
TensorId apply_relu(Recorder& recorder, const Normalised& layer);
/// z = ReLU(BN(y) + x).
TensorId join(Recorder& recorder, const Normalised& layer, TensorId x);
/// z = ReLU(BN(y) + BN(shortcut)).
TensorId join(Recorder& recorder, const Normalised& layer, const Normalised& shortcut);

}  // namespace simclr::nn
