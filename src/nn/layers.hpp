#pragma once
// The layers of models. Each function emits forward ops, registers backward ops and returns the
// output tensor; the caller gives tensors their public names.

#include <optional>
#include <string>

#include "simclr/nn/model.hpp"
#include "simclr/program/recorder.hpp"

namespace simclr::nn {

struct ConvOptions {
  std::int64_t channels = 0;  ///< K, output channels
  ConvGeometry geometry;
};
/// Returns y (V,H',W',K) of x (V,H,W,C). Parameter: `name`.weight (K,R,S,C); no bias.
TensorId conv(Recorder& recorder, const std::string& name, TensorId x, const ConvOptions& options);

struct LinearOptions {
  std::int64_t channels = 0;  ///< K
  bool with_bias = false;
  float initial_stddev = 0.01F;  ///< 0: zeros
  bool regularized = true;       ///< see Parameter
  bool bias_regularized = false;
  bool stops_gradient = false;  ///< x gets no gradient from here
  /// The layer stands for a 1x1 convolution: weight (K,1,1,C), with the initial values of one.
  bool pointwise = false;
};
/// Returns y (V,K) of x (V,C), f32. Parameters: `name`.weight (K,C) [and `name`.bias (K)].
TensorId linear(Recorder& recorder, const std::string& name, TensorId x,
                const LinearOptions& options);

/// Returns x (V,H,W,3), packed from the host's views, which have the activation dtype.
TensorId pack_input(Recorder& recorder, TensorId views);
/// Returns the maxima of 3x3 windows of stride 2 over x (V,H,W,C), H = W:
/// (V,ceil(H/2),ceil(W/2),C).
TensorId max_pool(Recorder& recorder, TensorId x, PoolPadding padding);
/// Returns the means of ResNet-D's shortcuts over 2x2 windows of x (V,H,W,C). Stride 2:
/// (V,ceil(H/2),ceil(W/2),C), as if zeros followed an odd number of pixels; stride 1: (V,H,W,C),
/// the last windows over the pixels that x has. Both are TensorFlow's.
TensorId avg_pool(Recorder& recorder, TensorId x, int stride);
/// Returns h f32 (V,C) in `storage`: the arena, or output for features. If z has several streams of
/// C channels, h is the sum of their means.
TensorId global_avg_pool(Recorder& recorder, TensorId z, Storage storage, int streams = 1);
/// Returns the mixture y (V,H,W,C) of the two streams x (V,H,W,2C) by logits m f32 (V,2C); see
/// SelectStreams.
TensorId select_streams(Recorder& recorder, TensorId x, TensorId m);

// ---- batch normalization ------------------------------------------------------------------------
// These functions normalize the output of a convolution or linear layer. `batch_norm` records the
// statistics; `apply`, `apply_relu` and `join` record the normalization fused with what follows it.

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

// ---- heads --------------------------------------------------------------------------------------

/// Returns z f32 (V,D) of h (V,C): Linear -> BN -> ReLU -> ... -> Linear -> BN without beta.
TensorId projection_head(Recorder& recorder, const HeadSpec& spec, const BatchNormContext& context,
                         TensorId h);
/// Returns the output of the head's first `count` layers: h for 0, z for all of them. Layers behind
/// are not recorded.
TensorId projection_head_layers(Recorder& recorder, const HeadSpec& spec,
                                const BatchNormContext& context, TensorId h, int count);

struct ContrastOptions {
  ContrastiveLoss loss;
  bool normalize = true;           ///< the loss compares z/|z|; false: z itself
  std::optional<TensorId> labels;  ///< i32 (V/2), -1 for none; of supcon
  int rank = 0;
  int world_size = 1;
  DType similarity = DType::f32;    ///< type of the embeddings in matrix units; see ops.hpp
  std::optional<TensorId> control;  ///< holds the loss scale that multiplies the gradient
};
/// Records the contrastive loss over the global batch, names "sums" f64 (loss.sum_count()) and
/// "z_std", and starts the backward pass at z.
void contrast(Recorder& recorder, TensorId z, const ContrastOptions& options);

/// What a classifier learns from a teacher's logits f32 (V,K) on the same views; see
/// SoftmaxCrossEntropy.
struct DistillationOptions {
  TensorId teacher;
  float temperature = 1, label_weight = 0;
};

struct ClassifierOptions {
  std::int64_t classes = 0;
  float gradient_scale = 1;  ///< 1 / global batch
  int world_size = 1;
  float initial_stddev = 0;  ///< of the weights; 0: zeros
  bool regularized = true, bias_regularized = false;
  std::optional<DistillationOptions> distillation{};
};
/// Returns the logits f32 (V,K) of a linear classifier on h. Parameters: "classifier.weight",
/// "classifier.bias".
TensorId classifier_logits(Recorder& recorder, TensorId h, const ClassifierOptions& options);
/// Records a linear classifier on h and its cross-entropy. Names "labels", "logits" and "sums" f64
/// (4), summed over ranks: cross-entropy, top-1 hits, top-5 hits, samples; (5) of distillation.
void classifier(Recorder& recorder, TensorId h, const ClassifierOptions& options);

/// Records a linear classifier on h (V,C) of V/n views of n samples, through which h gets no
/// gradient. `labels` i32 (n). Names "probe_sums" f64 (4), as classifier()'s "sums". Its
/// gradients are sums over the labeled views.
void probe(Recorder& recorder, TensorId h, TensorId labels, std::int64_t classes, int world_size);

// ---- encoder ------------------------------------------------------------------------------------

struct EncoderOptions {
  bool recompute_blocks = false;
  int frozen_groups = kNothingFrozen;
  int groups = kEncoderGroups;  ///< those behind are not recorded
  Storage feature_storage = Storage::arena;
};

/// Records the encoder without its classifier; returns h f32 (V,C), or the mean over pixels of the
/// last of fewer groups, of the packed images x (V,H,W,3). Parameters have torchvision's names;
/// where it has no such layers, those of timm's ResNet-D and "layerL.B.sk.conv1" and the like.
TensorId resnet(Recorder& recorder, const EncoderSpec& spec, const BatchNormContext& context,
                TensorId x, const EncoderOptions& options = {});

}  // namespace simclr::nn
