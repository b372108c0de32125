#pragma once
// Batch normalization of the output of a convolution or linear layer. `batch_norm` records the
// statistics; `apply`, `apply_relu` and `join` record the normalization fused with what follows it.

#include <optional>
#include <string>

#include "simclr/nn/model.hpp"
#include "simclr/program/recorder.hpp"

namespace simclr::nn {

/// How batch normalization runs in the program that is being recorded.
struct BatchNormContext {
  BatchNormSpec spec;
  std::int64_t local_samples = 1;  ///< samples of this rank (their views share a BN group)
  bool training = true;            ///< false: running statistics, no updates
};

/// A layer's output y and its normalization, which is not applied yet.
struct Normalized {
  TensorId y, gamma, affine, saved;
  std::optional<TensorId> beta;
  BnGroups groups;
  double count = 1;  ///< views times pixels of a group, over all ranks
  bool synchronized = false;
};

struct BatchNormOptions {
  bool with_beta = true;
  float initial_gamma = 1;
};

/// Records statistics and normalization constants of y (V,H,W,C) or (V,C). Parameters:
/// `name`.weight and .bias.
Normalized batch_norm(Recorder& recorder, const BatchNormContext& context, const std::string& name,
                      TensorId y, const BatchNormOptions& options = {});

/// Returns z = BN(y), or ReLU(BN(y)).
TensorId apply(Recorder& recorder, const Normalized& layer);
TensorId apply_relu(Recorder& recorder, const Normalized& layer);
/// Returns z = ReLU(BN(y) + x).
TensorId join(Recorder& recorder, const Normalized& layer, TensorId x);
/// Returns z = ReLU(BN(y) + BN(shortcut)).
TensorId join(Recorder& recorder, const Normalized& layer, const Normalized& shortcut);

}  // namespace simclr::nn
