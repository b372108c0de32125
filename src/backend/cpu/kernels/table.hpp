#pragma once
// The CPU backend's own kernels, chosen once for the machine's instruction set.
//
// Activations are blocked by 16 channels, (N, ceil(C/16), H, W, 16): a *run* is what a kernel call
// works on: `images` images of one channel block, each `pixels` x 16 contiguous elements, one image
// `image_stride` elements from the next. Per-channel arguments hold 16 floats. Kernels are
// single-threaded: dividing the work is the steps' business.

#include <cstdint>
#include <type_traits>

#include "../../contrastive_row.hpp"
#include "simclr/core/bf16.hpp"

namespace simclr::kernels {

struct Run {
  std::int64_t images = 0;
  std::int64_t pixels = 0;
  std::int64_t image_stride = 0;
};

// ---- batch normalization; see program/ops.hpp for the formulas ----------------------------------

template <class T>
struct BnStatisticsArgs {
  Run run;
  const T* y = nullptr;
  const float* shift = nullptr;
  double* sums = nullptr;  ///< (2,16): += sums of (y - shift) and its square
};

template <class T>
struct BnApplyArgs {
  Run run;
  const T* y = nullptr;
  const T* residual = nullptr;  ///< or null
  T* z = nullptr;
  const float *scale = nullptr, *shift = nullptr;
  const float *residual_scale = nullptr,
              *residual_shift = nullptr;  ///< both null: the residual as it is
  bool relu = false;
};

template <class T>
struct BnBackwardReduceArgs {
  Run run;
  T* dz = nullptr;
  const T* dz_other = nullptr;  ///< or null
  const T* z = nullptr;         ///< null: the mask comes from scale*y + shift
  const T* y = nullptr;
  const float *scale = nullptr, *shift = nullptr, *mean = nullptr;
  double* sums = nullptr;  ///< (2,16): += sums of g and g*(y - mean)
  bool relu = false, write_back = false;
};

template <class T>
struct BnBackwardApplyArgs {
  Run run;
  const T *dz = nullptr, *y = nullptr;
  T* dy = nullptr;
  const float *scale = nullptr, *shift = nullptr, *mean = nullptr;
  const float *of_g = nullptr, *of_y = nullptr,
              *constant = nullptr;  ///< dy = of_g*g + of_y*(y - mean) + constant
  bool relu = false;
};

template <class T>
struct BnKernels {
  void (*statistics)(const BnStatisticsArgs<T>&) = nullptr;
  void (*apply)(const BnApplyArgs<T>&) = nullptr;
  void (*backward_reduce)(const BnBackwardReduceArgs<T>&) = nullptr;
  void (*backward_apply)(const BnBackwardApplyArgs<T>&) = nullptr;
};

// ---- pooling, joins, packing --------------------------------------------------------------------

/// One image of one channel block; x (height, width, 16), y (out_height, out_width, 16).
struct PoolGeometry {
  int height = 0, width = 0, out_height = 0, out_width = 0;
  int kernel = 1, stride = 1, padding = 0;
};

/// One image of one channel block of SelectStreamsBackward, all (pixels, 16).
template <class T>
struct SelectBackwardArgs {
  const float* a = nullptr;  ///< (2,16): a and 1-a
  const T *dy = nullptr, *x0 = nullptr, *x1 = nullptr;
  std::int64_t pixels = 0;
  T *dx0 = nullptr, *dx1 = nullptr;
  float* sum = nullptr;  ///< (16) = sum over pixels of dy (x0 - x1)
};

template <class T>
struct ElementKernels {
  void (*max_pool)(const PoolGeometry&, const T* x, T* y, std::uint8_t* argmax) = nullptr;
  void (*max_pool_backward)(const PoolGeometry&, const T* dy, const std::uint8_t* argmax,
                            T* dx) = nullptr;
  /// Divides by kernel^2 if `whole_windows`, else by the pixels in a window.
  void (*avg_pool)(const PoolGeometry&, bool whole_windows, const T* x, T* y) = nullptr;
  void (*avg_pool_backward)(const PoolGeometry&, bool whole_windows, const T* dy, T* dx) = nullptr;
  /// h (16) = sum over streams of the means over pixels of z (pixels, 16), `stride` elements from
  /// one stream to the next.
  void (*average)(const T* z, std::int64_t pixels, int streams, std::int64_t stride,
                  float* h) = nullptr;
  /// The way back to one stream.
  void (*spread)(const float* dh, std::int64_t pixels, T* dz) = nullptr;
  /// y = a[0] x0 + a[1] x1, all (pixels, 16); a (2,16).
  void (*select)(const float* a, const T* x0, const T* x1, std::int64_t pixels, T* y) = nullptr;
  void (*select_backward)(const SelectBackwardArgs<T>&) = nullptr;
  // Flat ranges; counts are multiples of 16.
  void (*add_into)(const T* from, T* into, std::int64_t count) = nullptr;
  void (*relu)(const T* y, T* z, std::int64_t count) = nullptr;
  void (*relu_backward)(const T* dz, const T* z, T* dy, std::int64_t count) = nullptr;
  /// planes (3, pixels) = interleaved (pixels, 3).
  void (*unzip_rgb)(const T* interleaved, std::int64_t pixels, T* planes) = nullptr;
};

// ---- loss ---------------------------------------------------------------------------------------

struct LossKernels {
  /// Adds `count` similarities to the row; those to be left out are -infinity. `partner` is the
  /// partner's column among them, if it is within [0, count).
  void (*accumulate_row)(const float* s, std::int64_t count, std::int64_t partner,
                         float inverse_temperature, SoftmaxRow& row) = nullptr;
  /// s[j] = exp(s[j]/T - lse) + exp(s[j]/T - lse_of[j]), in place.
  void (*pair_weights)(float* s, std::int64_t count, float inverse_temperature, float lse,
                       const float* lse_of) = nullptr;
  // Terms of negatives.
  /// ln(1 + exp(s/T)).
  void (*sum_softplus)(const float* s, std::int64_t count, float inverse_temperature,
                       NegativeSums& sums) = nullptr;
  /// max(s - limit, 0), and how many are above it.
  void (*sum_beyond_margin)(const float* s, std::int64_t count, float limit,
                            NegativeSums& sums) = nullptr;
  /// Among above < s < below; the columns are `first_column` and those that follow.
  void (*nearest_negative)(const float* s, std::int64_t count, float below, float above,
                           std::int64_t first_column, NearestNegative& nearest) = nullptr;
  /// Over the columns with this id.
  void (*sum_positives)(const float* s, const std::int32_t* ids, std::int64_t count,
                        std::int32_t id, PositiveSums& sums) = nullptr;
  // Weights of columns, in place of their similarities.
  /// s[j] = weight / (1 + exp(-s[j]/T)).
  void (*sigmoid_weights)(float* s, std::int64_t count, float inverse_temperature,
                          float weight) = nullptr;
  /// s[j] = weight * ([s[j] > positive - margin] + [s[j] > positive_of[j] - margin]).
  void (*margin_weights)(float* s, std::int64_t count, float margin, float weight, float positive,
                         const float* positive_of) = nullptr;
  /// s[j] -= share + share_of[j] where ids[j] is id.
  void (*attract_positives)(float* s, const std::int32_t* ids, std::int64_t count, std::int32_t id,
                            float share, const float* share_of) = nullptr;
  /// exponential[j] = exp(x[j] - shift); returns their sum.
  double (*exp_row)(const float* x, std::int64_t count, float shift, float* exponential) = nullptr;
};

// ---- optimizers: one chunk of the flat buffers --------------------------------------------------

struct AdamwFactors {
  float gradient = 1;  ///< what gradients are multiplied by, first
  float learning_rate = 0, beta1 = 0, beta2 = 0, epsilon = 0, weight_decay = 0;
  float correction1 = 1, correction2 = 1;  ///< 1/(1-beta^t)
};

struct OptimizerKernels {
  // Gradients are multiplied by `gradient_factor` (1 / loss scale) first.
  /// norms (2) = |w|^2 and |g + decay*w|^2 of the chunk.
  void (*lars_norms)(const float* w, const float* g, std::int64_t count, float gradient_factor,
                     float decay, double* norms) = nullptr;
  /// `rate` is learning rate times trust ratio.
  void (*lars)(float* w, const float* g, float* v, std::int64_t count, float gradient_factor,
               float rate, float momentum, float decay) = nullptr;
  void (*sgd)(float* w, const float* g, float* v, std::int64_t count, float gradient_factor,
              float rate, float momentum, float decay, bool nesterov) = nullptr;
  void (*adamw)(float* w, const float* g, float* m, float* v, std::int64_t count,
                const AdamwFactors& factors) = nullptr;
};

struct Table {
  const char* name = "";  ///< the instruction set: "x86-64-v4", ...
  BnKernels<float> bn_f32;
  BnKernels<bf16> bn_bf16;
  ElementKernels<float> element_f32;
  ElementKernels<bf16> element_bf16;
  LossKernels loss;
  OptimizerKernels optimizer;
};

/// The kernels for instruction_set(), which refuses what the machine does not have.
const Table& table();

template <class T>
const BnKernels<T>& batch_norm() {
  if constexpr (std::is_same_v<T, bf16>) {
    return table().bn_bf16;
  } else {
    return table().bn_f32;
  }
}
template <class T>
const ElementKernels<T>& element() {
  if constexpr (std::is_same_v<T, bf16>) {
    return table().element_bf16;
  } else {
    return table().element_f32;
  }
}

}  // namespace simclr::kernels
