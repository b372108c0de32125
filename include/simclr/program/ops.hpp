#pragma once
// The verbs of a program. An op is plain data; `visit_tensors` of each struct is the one source of
// truth for what it reads and writes (lifetimes, tracing and recomputation all follow from it).
//
// Shapes: V views (rows of a batch on this rank), spatial H x W, C input and K output channels,
// G batch-normalisation groups on this rank, D embedding dimension, R ranks.

#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "simclr/comm/communicator.hpp"
#include "simclr/tensor/tensor.hpp"

namespace simclr {

// ---- images and convolutions ------------------------------------------------------------------

/// x (V,H,W,3) as the backend's convolutions read images = views (V,H,W,3) as the host has them;
/// both of the activation dtype.
struct PackInput {
  TensorId views, x;
};

struct ConvGeometry {
  int kernel = 1;
  int stride = 1;
  int padding = 0;
};

/// y (V,H',W',K) = x (V,H,W,C) * w (K,R,S,C).
struct ConvForward {
  TensorId x, w, y;
  ConvGeometry geometry;
};
/// dx = dy convolved back with w.
struct ConvBackwardData {
  TensorId dy, w, dx;
  ConvGeometry geometry;
};
/// dw (K,R,S,C) f32.
struct ConvBackwardWeights {
  TensorId x, dy, dw;
  ConvGeometry geometry;
};

// ---- batch normalisation ----------------------------------------------------------------------

/// The views of a rank are [first views of its n samples | second views]. View v belongs to sample
/// v % samples, and sample i to group i * groups / samples: both views of a sample share a group.
struct BnGroups {
  int groups = 1;
  int samples = 1;  ///< n on this rank
};

/// stats f64 (G,2,C): per group, sums over its views and pixels of (y - s) and (y - s)^2, with the
/// shift s = running_mean as it is before this step's update, equal on all ranks.
struct BnStatistics {
  TensorId y, running_mean, stats;
  BnGroups groups;
};
/// Per group: mean = s + S1/M, variance = S2/M - (S1/M)^2 (biased), istd = 1/sqrt(variance + eps).
/// affine f32 (G,2,C) = (gamma*istd, beta - mean*gamma*istd); saved f32 (G,2,C) = (mean, istd).
/// running = (1-momentum)*running + momentum * mean over this rank's groups of (mean, unbiased
/// variance). `count` is M, the group's views times pixels over all ranks. No beta: beta = 0.
struct BnFinalize {
  TensorId stats, gamma;
  std::optional<TensorId> beta;
  TensorId running_mean, running_var, affine, saved;
  int groups = 1;
  double count = 1;
  float epsilon = 1e-5F;
  float momentum = 0.1F;
};
/// affine f32 (1,2,C) from the running statistics.
struct BnInference {
  TensorId gamma;
  std::optional<TensorId> beta;
  TensorId running_mean, running_var, affine;
  float epsilon = 1e-5F;
};
/// z = [relu](scale*y + shift [+ residual]), the residual taken through its own affine if it has
/// one (a shortcut's BN). All of y, residual, z have one shape: (V,H,W,C) or (V,C).
struct BnApply {
  TensorId y, affine;
  std::optional<TensorId> residual, residual_affine;
  bool relu = false;
  TensorId z;
  BnGroups groups;
};
/// Local sums of the backward pass. g = (dz [+ dz_other]) [* relu mask]; sums f64 (G,2,C) =
/// (sum g, sum g*xhat), xhat = (y - mean)*istd; dgamma, dbeta f32 (C) = the sums over this rank's
/// views. The mask is z > 0 where z is given (residual joins), else scale*y + shift > 0.
/// With `write_back` g is stored over dz (residual joins and second contributions need it).
struct BnBackwardReduce {
  TensorId dz;
  std::optional<TensorId> dz_other;  ///< a second contribution to the gradient of z
  std::optional<TensorId> z;
  TensorId y, affine, saved, sums, dgamma;
  std::optional<TensorId> dbeta;
  bool relu = false;
  bool write_back = false;
  BnGroups groups;
};
/// dy = gamma*istd*(g - sums0/M - xhat*sums1/M), g = dz [* mask from scale*y + shift > 0 if relu].
struct BnBackwardApply {
  TensorId dz, y, affine, saved, gamma, sums, dy;
  bool relu = false;
  double count = 1;
  BnGroups groups;
};

// ---- pooling, joins ---------------------------------------------------------------------------

/// y (V,H',W',C) = maximum over windows; argmax u8 (V,H',W',C) = r*kernel + s of the first maximum.
struct MaxPool {
  TensorId x, y, argmax;
  ConvGeometry geometry;
};
struct MaxPoolBackward {
  TensorId dy, argmax, dx;
  ConvGeometry geometry;
};
/// h f32 (V,C) = mean over pixels of z (V,H,W,C).
struct GlobalAvgPool {
  TensorId z, h;
};
struct GlobalAvgPoolBackward {
  TensorId dh, dz;
};
/// into += from.
struct AddInto {
  TensorId from, into;
};

// ---- linear layers, f32 -------------------------------------------------------------------------

/// y (V,K) = x (V,C) w(K,C)^T [+ bias (K)].
struct MatMul {
  TensorId x, w;
  std::optional<TensorId> bias;
  TensorId y;
};
struct MatMulBackwardData {
  TensorId dy, w, dx;
};
/// dw (K,C) = dy^T x; [dbias (K) = column sums of dy].
struct MatMulBackwardWeights {
  TensorId x, dy, dw;
  std::optional<TensorId> dbias;
};
/// z (V,C) = max(y, 0) without normalisation.
struct Relu {
  TensorId y, z;
};
struct ReluBackward {
  TensorId dz, z, dy;
};

// ---- loss ---------------------------------------------------------------------------------------

/// u = z / max(|z|, 1e-12), inverse_norm f32 (V) = 1 / max(|z|, 1e-12).
struct L2Normalize {
  TensorId z, u, inverse_norm;
};
/// dz = (du - u (u.du)) * inverse_norm.
struct L2NormalizeBackward {
  TensorId u, inverse_norm, du, dz;
};
/// Paper's Algorithm 1 over the global batch. u (V,D) is this rank's block (index `rank`) of u_all
/// (R*V,D); the partner of local row i is row (i + V/2) mod V of the same block. lse f32 (V) = log
/// sum over k != i of exp(s_ik/T). sums f64 (3) = this rank's sums of loss terms l_i, of top-1 hits
/// (partner nearest of the other 2N-1), and of entropies of the softmax over k != i.
struct NtXentForward {
  TensorId u, u_all, lse, sums;
  float temperature = 0.1F;
  int rank = 0;
  /// The narrowest type in which embeddings may enter matrix units; everything summed is f32 or
  /// wider. With 16 bits the rows of u are unit vectors. A backend may keep to f32.
  DType similarity = DType::f32;
};
/// du (V,D) = S/(2N*T) * [ sum_j (P_ij + P_ji) u_j - 2 u_partner ], 2N = R*V. S is the loss scale,
/// element 3 of `control`; 1 without it.
struct NtXentBackward {
  TensorId u, u_all, lse, lse_all;
  std::optional<TensorId> control;
  TensorId du;
  float temperature = 0.1F;
  int rank = 0;
  DType similarity = DType::f32;  ///< as NtXentForward's; the weights P enter in this type too
};
/// Label of a row that only fills a batch up.
inline constexpr std::int32_t kPaddingLabel = -1;

/// logits f32 (V,K), labels i32 (V); a row labelled kPaddingLabel counts nowhere.
/// dlogits = (softmax - onehot) * gradient_scale. sums f64 (4) = loss, top-1, top-5, samples.
struct SoftmaxCrossEntropy {
  TensorId logits, labels, sums;
  std::optional<TensorId> dlogits;
  float gradient_scale = 1;
};

// ---- nearest neighbours -------------------------------------------------------------------------

/// best f32 (V,k), columns i32 (V,k) = the k largest of the first `valid` columns of each row of
/// values f32 (V,B), largest first, equal ones in column order; NaN comes before all numbers.
/// valid i32 (1) is cut to [0, B]; where it is less than k, the rest is -infinity and column -1.
struct TopK {
  static constexpr int kMost = 1024;  ///< largest k: a GPU sorts them in its shared memory
  TensorId values, valid, best, columns;
};

// ---- communication ------------------------------------------------------------------------------

enum class RankGroup : std::uint8_t { world, bn_group };

/// In place, on the critical path.
struct AllReduce {
  TensorId buffer;
  RankGroup group = RankGroup::world;
  Reduction reduction = Reduction::sum;
};
/// all = every rank's `local`, in rank order.
struct AllGather {
  TensorId local, all;
};
/// Starts the sum over ranks of elements [begin, begin+count) of the flat gradient buffer.
/// These run beside the ops that follow, in this order on every rank; WaitForGradients ends them.
struct ReduceGradients {
  TensorId gradients;
  std::int64_t begin = 0;
  std::int64_t count = 0;
};
struct WaitForGradients {
  TensorId gradients;
};

// ---- optimisers over the flat buffers -----------------------------------------------------------

/// One parameter's slice of the flat buffers.
struct ParameterSegment {
  std::int64_t offset = 0;
  std::int64_t count = 0;
  bool regularised = true;  ///< weights; false for BN parameters and biases: no decay, trust 1
};
/// verdict i32 (2) becomes 1 where any loss sum (element 0) or any gradient (element 1) is infinite
/// or NaN, else stays as it was: updates that are begun before the host knows of a bad step change
/// nothing either.
struct CheckFinite {
  TensorId loss_sums, gradients, verdict;
};
/// All update ops read `control` f32 (4) = (learning rate, AdamW bias corrections 1/(1-b1^t),
/// 1/(1-b2^t), loss scale S); grad is the gradient buffer divided by S. With a `verdict` that is
/// not all 0 they change nothing.
/// LARS (SIMCLR reference code's form): g = grad + wd*w; trust = trust_coefficient*|w|/|g| (1 if
/// either norm is 0); v = m*v + lr*trust*g; w -= v. Unregularised: wd = 0, trust = 1.
struct LarsUpdate {
  TensorId parameters, gradients, momentum, control;
  std::optional<TensorId> verdict;
  std::vector<ParameterSegment> segments;
  float momentum_factor = 0.9F;
  float weight_decay = 1e-6F;
  float trust_coefficient = 1e-3F;
};
/// v = m*v + g, w -= lr*v (Nesterov: w -= lr*(g + m*v)), g = grad + wd*w where regularised.
struct SgdUpdate {
  TensorId parameters, gradients, momentum, control;
  std::optional<TensorId> verdict;
  std::vector<ParameterSegment> segments;
  float momentum_factor = 0.9F;
  float weight_decay = 0;
  bool nesterov = false;
};
/// Decoupled weight decay (Loshchilov and Hutter 2019), as torch.optim.AdamW.
struct AdamwUpdate {
  TensorId parameters, gradients, momentum, second_moment, control;
  std::optional<TensorId> verdict;
  std::vector<ParameterSegment> segments;
  float beta1 = 0.9F;
  float beta2 = 0.999F;
  float epsilon = 1e-8F;
  float weight_decay = 0.01F;
};

using Op = std::variant<PackInput, ConvForward, ConvBackwardData, ConvBackwardWeights, BnStatistics,
                        BnFinalize, BnInference, BnApply, BnBackwardReduce, BnBackwardApply,
                        MaxPool, MaxPoolBackward, GlobalAvgPool, GlobalAvgPoolBackward, AddInto,
                        MatMul, MatMulBackwardData, MatMulBackwardWeights, Relu, ReluBackward,
                        L2Normalize, L2NormalizeBackward, NtXentForward, NtXentBackward,
                        SoftmaxCrossEntropy, TopK, AllReduce, AllGather, ReduceGradients,
                        WaitForGradients, CheckFinite, LarsUpdate, SgdUpdate, AdamwUpdate>;

/// What an op touches. A tensor that is updated in place stands in both lists.
struct Access {
  std::vector<TensorId> reads, writes;
};
Access access(const Op& op);

/// Replaces every tensor of the op by map(tensor).
template <class Map>
Op with_tensors(Op op, Map&& map);

/// The verb: "conv_forward", "bn_apply", ...
std::string_view verb(const Op& op);

}  // namespace simclr

#include "simclr/program/ops_visit.hpp"
