#pragma once
// The verbs of a program, each declared once. An op is plain data and says beside its fields
//   kVerb            how it is named to people; verb() where that depends on its values
//   fields(op, v)    which tensors it reads, writes, or updates in place: lifetimes, tracing and
//                    recomputation follow from this
//   flops(shape)     multiply-adds count twice; without it an op only moves data
// A new verb is a struct here (pooling.hpp and update.hpp hold some), a line in verbs.def, and a
// prepare() in each backend.
//
// Shapes: V views (rows of a batch on this rank), spatial H x W, C input and K output channels,
// G batch-normalization groups on this rank, D embedding dimension, R ranks.

#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "simclr/comm/communicator.hpp"
#include "simclr/program/contrastive.hpp"
#include "simclr/program/pooling.hpp"
#include "simclr/program/update.hpp"
#include "simclr/tensor/tensor.hpp"

namespace simclr {

namespace detail {

/// `output` (V,H',W',K), `filter` (K,R,S,C).
inline double convolution_flops(const Shape& output, const Shape& filter) {
  return 2.0 * static_cast<double>(output.elements()) *
         static_cast<double>(filter[1] * filter[2] * filter[3]);
}
/// `rows` (V,...) each times `weights` (K,C).
inline double matmul_flops(const Shape& rows, const Shape& weights) {
  return 2.0 * static_cast<double>(rows[0]) * static_cast<double>(weights.elements());
}
/// Similarities of this rank's rows with all rows; the backward pass also sums rows by them.
inline double similarity_flops(const Shape& u, const Shape& u_all, int products) {
  return 2.0 * products * static_cast<double>(u.elements()) * static_cast<double>(u_all[0]);
}

}  // namespace detail

// ---- images and convolutions ------------------------------------------------------------------

/// x (V,H,W,3) as the backend's convolutions read images = views (V,H,W,3) as the host has them;
/// both of the activation dtype.
struct PackInput {
  static constexpr std::string_view kVerb = "pack_input";
  TensorId views, x;
  static void fields(auto& o, auto& v) { v.reads(o.views), v.writes(o.x); }
};

/// y (V,H',W',K) = x (V,H,W,C) * w (K,R,S,C).
struct ConvForward {
  static constexpr std::string_view kVerb = "conv_forward";
  TensorId x, w, y;
  ConvGeometry geometry;
  static void fields(auto& o, auto& v) { v.reads(o.x, o.w), v.writes(o.y); }
  [[nodiscard]] double flops(const auto& shape) const {
    return detail::convolution_flops(shape(y), shape(w));
  }
};
/// dx = dy convolved back with w.
struct ConvBackwardData {
  static constexpr std::string_view kVerb = "conv_backward_data";
  TensorId dy, w, dx;
  ConvGeometry geometry;
  static void fields(auto& o, auto& v) { v.reads(o.dy, o.w), v.writes(o.dx); }
  [[nodiscard]] double flops(const auto& shape) const {
    return detail::convolution_flops(shape(dy), shape(w));
  }
};
/// dw (K,R,S,C) f32.
struct ConvBackwardWeights {
  static constexpr std::string_view kVerb = "conv_backward_weights";
  TensorId x, dy, dw;
  ConvGeometry geometry;
  static void fields(auto& o, auto& v) { v.reads(o.x, o.dy), v.writes(o.dw); }
  [[nodiscard]] double flops(const auto& shape) const {
    return detail::convolution_flops(shape(dy), shape(dw));
  }
};

// ---- batch normalization ----------------------------------------------------------------------

/// The views of a rank are [first views of its n samples | second views]. View v belongs to sample
/// v % samples, and sample i to group i * groups / samples: both views of a sample share a group.
struct BnGroups {
  int groups = 1;
  int samples = 1;  ///< n on this rank
};

/// stats f64 (G,2,C): per group, sums over its views and pixels of (y - s) and (y - s)^2, with the
/// shift s = running_mean as it is before this step's update, equal on all ranks.
struct BnStatistics {
  static constexpr std::string_view kVerb = "bn_statistics";
  TensorId y, running_mean, stats;
  BnGroups groups;
  static void fields(auto& o, auto& v) { v.reads(o.y, o.running_mean), v.writes(o.stats); }
};
/// Per group: mean = s + S1/M, variance = S2/M - (S1/M)^2 (biased), istd = 1/sqrt(variance + eps).
/// affine f32 (G,2,C) = (gamma*istd, beta - mean*gamma*istd); saved f32 (G,2,C) = (mean, istd).
/// running = (1-momentum)*running + momentum * mean over this rank's groups of (mean, unbiased
/// variance). `count` is M, the group's views times pixels over all ranks. No beta: beta = 0.
struct BnFinalize {
  static constexpr std::string_view kVerb = "bn_finalize";
  TensorId stats, gamma;
  std::optional<TensorId> beta;
  TensorId running_mean, running_var, affine, saved;
  int groups = 1;
  double count = 1;
  float epsilon = 1e-5F, momentum = 0.1F;
  static void fields(auto& o, auto& v) {
    v.reads(o.stats, o.gamma, o.beta), v.updates(o.running_mean, o.running_var),
        v.writes(o.affine, o.saved);
  }
};
/// affine f32 (1,2,C) from the running statistics.
struct BnInference {
  static constexpr std::string_view kVerb = "bn_inference";
  TensorId gamma;
  std::optional<TensorId> beta;
  TensorId running_mean, running_var, affine;
  float epsilon = 1e-5F;
  static void fields(auto& o, auto& v) {
    v.reads(o.gamma, o.beta, o.running_mean, o.running_var), v.writes(o.affine);
  }
};
/// z = [relu](scale*y + shift [+ residual]), the residual taken through its own affine if it has
/// one (a shortcut's BN). All of y, residual, z have one shape: (V,H,W,C) or (V,C).
struct BnApply {
  static constexpr std::string_view kVerb = "bn_apply";
  TensorId y, affine;
  std::optional<TensorId> residual, residual_affine;
  bool relu = false;
  TensorId z;
  BnGroups groups;
  static void fields(auto& o, auto& v) {
    v.reads(o.y, o.affine, o.residual, o.residual_affine), v.writes(o.z);
  }
};
/// Local sums of the backward pass. g = (dz [+ dz_other]) [* relu mask]; sums f64 (G,2,C) =
/// (sum g, sum g*xhat), xhat = (y - mean)*istd; dgamma, dbeta f32 (C) = the sums over this rank's
/// views. The mask is z > 0 where z is given (residual joins), else scale*y + shift > 0.
/// With `write_back` g is stored over dz (residual joins and second contributions need it).
struct BnBackwardReduce {
  static constexpr std::string_view kVerb = "bn_backward_reduce";
  TensorId dz;
  std::optional<TensorId> dz_other;  ///< a second contribution to the gradient of z
  std::optional<TensorId> z;
  TensorId y, affine, saved, sums, dgamma;
  std::optional<TensorId> dbeta;
  bool relu = false, write_back = false;
  BnGroups groups;
  static void fields(auto& o, auto& v) {
    o.write_back ? v.updates(o.dz) : v.reads(o.dz);
    v.reads(o.dz_other, o.z, o.y, o.affine, o.saved), v.writes(o.sums, o.dgamma, o.dbeta);
  }
};
/// dy = gamma*istd*(g - sums0/M - xhat*sums1/M), g = dz [* mask from scale*y + shift > 0 if relu].
struct BnBackwardApply {
  static constexpr std::string_view kVerb = "bn_backward_apply";
  TensorId dz, y, affine, saved, gamma, sums, dy;
  bool relu = false;
  double count = 1;
  BnGroups groups;
  static void fields(auto& o, auto& v) {
    v.reads(o.dz, o.y, o.affine, o.saved, o.gamma, o.sums), v.writes(o.dy);
  }
};

// ---- joins --------------------------------------------------------------------------------------

/// into += from.
struct AddInto {
  static constexpr std::string_view kVerb = "add_into";
  TensorId from, into;
  static void fields(auto& o, auto& v) { v.reads(o.from), v.updates(o.into); }
};

// ---- linear layers, f32 -------------------------------------------------------------------------

/// y (V,K) = x (V,C) w(K,C)^T [+ bias (K)]. Weights may be those of a 1x1 convolution, (K,1,1,C).
struct MatMul {
  static constexpr std::string_view kVerb = "matmul";
  TensorId x, w;
  std::optional<TensorId> bias;
  TensorId y;
  static void fields(auto& o, auto& v) { v.reads(o.x, o.w, o.bias), v.writes(o.y); }
  [[nodiscard]] double flops(const auto& shape) const {
    return detail::matmul_flops(shape(x), shape(w));
  }
};
struct MatMulBackwardData {
  static constexpr std::string_view kVerb = "matmul_backward_data";
  TensorId dy, w, dx;
  static void fields(auto& o, auto& v) { v.reads(o.dy, o.w), v.writes(o.dx); }
  [[nodiscard]] double flops(const auto& shape) const {
    return detail::matmul_flops(shape(dy), shape(w));
  }
};
/// dw (K,C) = dy^T x; [dbias (K) = column sums of dy].
struct MatMulBackwardWeights {
  static constexpr std::string_view kVerb = "matmul_backward_weights";
  TensorId x, dy, dw;
  std::optional<TensorId> dbias;
  static void fields(auto& o, auto& v) { v.reads(o.x, o.dy), v.writes(o.dw, o.dbias); }
  [[nodiscard]] double flops(const auto& shape) const {
    return detail::matmul_flops(shape(x), shape(dw));
  }
};
/// z (V,C) = max(y, 0) without normalization.
struct Relu {
  static constexpr std::string_view kVerb = "relu";
  TensorId y, z;
  static void fields(auto& o, auto& v) { v.reads(o.y), v.writes(o.z); }
};
struct ReluBackward {
  static constexpr std::string_view kVerb = "relu_backward";
  TensorId dz, z, dy;
  static void fields(auto& o, auto& v) { v.reads(o.dz, o.z), v.writes(o.dy); }
};

// ---- loss ---------------------------------------------------------------------------------------

/// u = z / max(|z|, 1e-12), inverse_norm f32 (V) = 1 / max(|z|, 1e-12).
struct L2Normalize {
  static constexpr std::string_view kVerb = "l2_normalize";
  TensorId z, u, inverse_norm;
  static void fields(auto& o, auto& v) { v.reads(o.z), v.writes(o.u, o.inverse_norm); }
};
/// dz = (du - u (u.du)) * inverse_norm.
struct L2NormalizeBackward {
  static constexpr std::string_view kVerb = "l2_normalize_backward";
  TensorId u, inverse_norm, du, dz;
  static void fields(auto& o, auto& v) { v.reads(o.u, o.inverse_norm, o.du), v.writes(o.dz); }
};
/// A loss of contrastive.hpp over the global batch. u (V,D) is this rank's block (index `rank`) of
/// u_all (R*V,D); the partner of local row i is row (i + V/2) mod V of the same block. supcon reads
/// labels_all i32 (R*V/2), of all samples; the only positive of one labeled -1 is its other view.
/// f32 (V), what gradients need of a row, where the loss has it:
///   statistic  log-sum-exp of x; margin: s+; semi-hard: the weight of s_k in the row's gradient
///   second     supcon: 1 / number of positives; margin: active negatives; semi-hard: k, or -1
/// sums f64 (3) = this rank's sums of loss terms l_i, of top-1 hits (partner nearest of the other
/// 2N-1), and of entropies of the softmax of x over all k != i; (4): of rows with a semi-hard k.
struct ContrastiveForward {
  static constexpr std::string_view kVerb = "contrastive_forward";
  TensorId u, u_all;
  std::optional<TensorId> labels_all, statistic, second;
  TensorId sums;
  ContrastiveLoss loss;
  int rank = 0;
  /// The narrowest type in which embeddings may enter matrix units; everything summed is f32 or
  /// wider. With 16 bits the rows of u are unit vectors. A backend may keep to f32.
  DType similarity = DType::f32;
  static void fields(auto& o, auto& v) {
    v.reads(o.u, o.u_all, o.labels_all), v.writes(o.statistic, o.second, o.sums);
  }
  [[nodiscard]] double flops(const auto& shape) const {
    return detail::similarity_flops(shape(u), shape(u_all), 1);
  }
};
/// du (V,D) = S/(2N) sum_j (G_ij + G_ji) u_j with G_ij = d l_i / d s_ij, G_ii = 0. S is the loss
/// scale, element 3 of `control`; 1 without it. The statistics are those of all R*V rows.
struct ContrastiveBackward {
  static constexpr std::string_view kVerb = "contrastive_backward";
  TensorId u, u_all;
  std::optional<TensorId> labels_all, statistic_all, second_all, control;
  TensorId du;
  ContrastiveLoss loss;
  int rank = 0;
  DType similarity = DType::f32;  ///< as ContrastiveForward's; the weights G enter in it, too
  static void fields(auto& o, auto& v) {
    v.reads(o.u, o.u_all, o.labels_all, o.statistic_all, o.second_all, o.control), v.writes(o.du);
  }
  [[nodiscard]] double flops(const auto& shape) const {
    return detail::similarity_flops(shape(u), shape(u_all), loss.semi_hard ? 0 : 2);
  }
};
/// deviation f64 (1) = mean over the columns of u f32 (V,D) of the standard deviation of a column's
/// V values about their mean: the root of (sum of squares)/V - mean^2.
struct ColumnDeviation {
  static constexpr std::string_view kVerb = "column_deviation";
  TensorId u, deviation;
  static void fields(auto& o, auto& v) { v.reads(o.u), v.writes(o.deviation); }
};
/// Label of a row that only fills a batch up.
inline constexpr std::int32_t kPaddingLabel = -1;

/// logits f32 (V,K), labels i32 (n), V a multiple of n: row v has label v mod n. A row labeled
/// kPaddingLabel counts nowhere.
/// dlogits = (softmax - onehot) * gradient_scale. sums f64 (4) = loss, top-1, top-5, samples.
/// With a teacher's logits f32 (V,K), distillation (Hinton et al. 2015; Chen et al. 2020, "Big
/// self-supervised models"): w times that loss and gradient, w = label_weight, plus (1-w) times the
/// cross-entropy of P_T and P, loss -t^2 sum_k P_T ln P and gradient t (P - P_T), where P is the
/// softmax of logits/t, P_T of teacher/t, t = temperature. This part takes rows without label, too.
/// sums f64 (5): + rows whose largest logit is the teacher's.
struct SoftmaxCrossEntropy {
  static constexpr std::string_view kVerb = "softmax_cross_entropy";
  TensorId logits, labels, sums;
  std::optional<TensorId> dlogits;
  float gradient_scale = 1;
  std::optional<TensorId> teacher{};
  float temperature = 1, label_weight = 1;
  static void fields(auto& o, auto& v) {
    v.reads(o.logits, o.labels, o.teacher), v.writes(o.sums, o.dlogits);
  }
};

// ---- nearest neighbors -------------------------------------------------------------------------

/// best f32 (V,k), columns i32 (V,k) = the k largest of the first `valid` columns of each row of
/// values f32 (V,B), largest first, equal ones in column order; NaN comes before all numbers.
/// valid i32 (1) is cut to [0, B]; where it is less than k, the rest is -infinity and column -1.
struct TopK {
  static constexpr std::string_view kVerb = "top_k";
  static constexpr int kMost = 1024;  ///< largest k: a GPU sorts them in its shared memory
  TensorId values, valid, best, columns;
  static void fields(auto& o, auto& v) { v.reads(o.values, o.valid), v.writes(o.best, o.columns); }
};

// ---- communication ------------------------------------------------------------------------------

enum class RankGroup : std::uint8_t { world, bn_group };

/// In place, on the critical path.
struct AllReduce {
  static constexpr std::string_view kVerb = "all_reduce";
  TensorId buffer;
  RankGroup group = RankGroup::world;
  Reduction reduction = Reduction::sum;
  static void fields(auto& o, auto& v) { v.updates(o.buffer); }
};
/// all = every rank's `local`, in rank order.
struct AllGather {
  static constexpr std::string_view kVerb = "all_gather";
  TensorId local, all;
  static void fields(auto& o, auto& v) { v.reads(o.local), v.writes(o.all); }
};
/// Starts the sum over ranks of elements [begin, begin+count) of the flat gradient buffer.
/// These run beside the ops that follow, in this order on every rank; WaitForGradients ends them.
struct ReduceGradients {
  static constexpr std::string_view kVerb = "reduce_gradients";
  TensorId gradients;
  std::int64_t begin = 0;
  std::int64_t count = 0;
  static void fields(auto& o, auto& v) { v.updates(o.gradients); }
};
struct WaitForGradients {
  static constexpr std::string_view kVerb = "wait_for_gradients";
  TensorId gradients;
  static void fields(auto& o, auto& v) { v.updates(o.gradients); }
};

namespace detail {

template <class None, class... Verbs>
using VariantOf = std::variant<Verbs...>;

}  // namespace detail

// clang-format off
#define SIMCLR_VERB(Verb) , Verb
using Op = detail::VariantOf<void
#include "simclr/program/verbs.def"
>;
// clang-format on

/// What an op touches. A tensor that is updated in place stands in both lists.
struct Access {
  std::vector<TensorId> reads, writes;
};
Access access(const Op& op);

/// "conv_forward", "bn_apply", ...
std::string_view verb(const Op& op);

}  // namespace simclr
