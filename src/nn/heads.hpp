#pragma once

#include <optional>

#include "batch_norm.hpp"
#include "simclr/nn/model.hpp"

namespace simclr::nn {

/// Returns z f32 (V,D) of h (V,C): Linear -> BN -> ReLU -> ... -> Linear -> BN without beta.
TensorId projection_head(Recorder& recorder, const HeadSpec& spec, const BatchNormContext& context,
                         TensorId h);

struct NtXentOptions {
  float temperature = 0.1F;
  int rank = 0;
  int world_size = 1;
  DType similarity = DType::f32;    ///< type of the embeddings in matrix units; see ops.hpp
  std::optional<TensorId> control;  ///< holds the loss scale that multiplies the gradient
};
/// Records the contrastive loss over the global batch, names "sums" f64 (3) and starts the backward
/// pass at z.
void nt_xent(Recorder& recorder, TensorId z, const NtXentOptions& options);

struct ClassifierOptions {
  std::int64_t classes = 0;
  float gradient_scale = 1;  ///< 1 / global batch
  int world_size = 1;
  bool input_gradient = false;  ///< true: continues the backward pass into h
};
/// Records a linear classifier on h, initially zero, and its cross-entropy. Names "labels",
/// "logits" and "sums" f64 (4), summed over ranks: cross-entropy, top-1 hits, top-5 hits, samples.
void classifier(Recorder& recorder, TensorId h, const ClassifierOptions& options);

}  // namespace simclr::nn
