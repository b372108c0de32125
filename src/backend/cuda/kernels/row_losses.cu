// Unit vectors: a warp a row, because rows are short (128); sums over them in double. Softmax
// cross-entropy: a block a row, which finds its largest logit, its sum of exponentials together
// with the label's place, its gradient. A row of 21,841 classes stays in the caches between the
// sweeps.

#include <cmath>

#include "../launch.hpp"
#include "../steps.hpp"
#include "element.cuh"
#include "kernels.hpp"
#include "reduce.cuh"

namespace simclr::cuda {

namespace {

constexpr int kThreads = 256;
constexpr double kLeastNorm = 1e-12;

/// The warp's row; may lie past the end.
__device__ __forceinline__ std::int64_t row_of_warp() {
  return std::int64_t{blockIdx.x} * (kThreads / kWarp) + threadIdx.x / kWarp;
}
/// visit(element of the row) for every first element of the lane's packs.
template <class Visit>
__device__ __forceinline__ void for_each_pack(int stride, Visit&& visit) {
  for (int d = static_cast<int>(threadIdx.x) % kWarp * kPackSize<float>; d < stride;
       d += kWarp * kPackSize<float>) {
    visit(d);
  }
}

/// u = z * inverse, inverse_norm (rows) = 1 / max(|z|, 1e-12); z, u (rows, stride), padded by
/// zeros.
__global__ void __launch_bounds__(kThreads)
    normalize_kernel(const float* __restrict__ z, std::int64_t rows, int stride,
                     float* __restrict__ u, float* __restrict__ inverse_norm) {
  const std::int64_t row = row_of_warp();
  if (row >= rows) return;
  double square = 0;
  for_each_pack(stride, [&](int d) {
    const Pack<float> pack = load_pack(z + row * stride + d);
#pragma unroll
    for (const float value : pack.values) square += double{value} * double{value};
  });
  const double norm = sqrt(warp_sum(square));
  const double inverse = 1 / (norm < kLeastNorm ? kLeastNorm : norm);  // NaN stays NaN
  for_each_pack(stride, [&](int d) {
    Pack<float> pack = load_pack(z + row * stride + d);
#pragma unroll
    for (float& value : pack.values) value = static_cast<float>(value * inverse);
    store_pack(u + row * stride + d, pack);
  });
  if (threadIdx.x % kWarp == 0) inverse_norm[row] = static_cast<float>(inverse);
}

/// dz = (du - u (u.du)) * inverse_norm.
__global__ void __launch_bounds__(kThreads)
    normalize_backward_kernel(const float* __restrict__ u, const float* __restrict__ inverse_norm,
                              const float* __restrict__ du, std::int64_t rows, int stride,
                              float* __restrict__ dz) {
  const std::int64_t row = row_of_warp();
  if (row >= rows) return;
  double along = 0;
  for_each_pack(stride, [&](int d) {
    const Pack<float> unit = load_pack(u + row * stride + d);
    const Pack<float> gradient = load_pack(du + row * stride + d);
#pragma unroll
    for (int i = 0; i < kPackSize<float>; ++i) {
      along += double{unit.values[i]} * double{gradient.values[i]};
    }
  });
  along = warp_sum(along);
  const double inverse = inverse_norm[row];
  for_each_pack(stride, [&](int d) {
    const Pack<float> unit = load_pack(u + row * stride + d);
    Pack<float> gradient = load_pack(du + row * stride + d);
#pragma unroll
    for (int i = 0; i < kPackSize<float>; ++i) {
      gradient.values[i] =
          static_cast<float>((gradient.values[i] - unit.values[i] * along) * inverse);
    }
    store_pack(dz + row * stride + d, gradient);
  });
}

LaunchShape one_warp_each(std::int64_t rows) { return one_thread_each(rows * kWarp, kThreads); }

constexpr int kClassTerms = 4;

struct CrossEntropy {
  const float* logits = nullptr;         ///< (rows, stride)
  const std::int32_t* labels = nullptr;  ///< (label_rows); negative: padding
  std::int64_t label_rows = 1;           ///< a row has the label of its number modulo this
  float* dlogits = nullptr;              ///< (rows, stride), or null
  double* terms = nullptr;  ///< (rows, kClassTerms): loss, top-1, top-5, samples of each row
  std::int64_t rows = 0;
  int classes = 0, stride = 0;
  float gradient_scale = 1;
};

/// Rows this short are one warp's.
constexpr int kShortRow = 256;

/// The maximum over the block; NaN is passed over.
template <int kThreads>
__device__ __forceinline__ float block_max(float value) {
  constexpr int kWarps = kThreads / kWarp;
  __shared__ float partial[kWarps];
  value = warp_max(value);
  if (threadIdx.x % kWarp == 0) partial[threadIdx.x / kWarp] = value;
  __syncthreads();
#pragma unroll
  for (int warp = 0; warp < kWarps; ++warp) value = fmaxf(value, partial[warp]);
  __syncthreads();
  return value;
}

/// Whether class k stands after the label: a smaller logit, or an equal one with a larger index (as
/// argmax decides). NaN stands before everything.
__device__ __forceinline__ bool is_behind(float logit, int k, float label_logit, int label) {
  return logit < label_logit || (logit == label_logit && k >= label);
}

template <int kThreads>
__device__ void store_gradient(const CrossEntropy& o, std::int64_t row, int label, float largest,
                               float factor) {
  const float* logits = o.logits + row * o.stride;
  float* dlogits = o.dlogits + row * o.stride;
  for (int k = static_cast<int>(threadIdx.x); k < o.stride; k += kThreads) {
    float gradient = 0;
    if (k < o.classes && label >= 0) {
      gradient = expf(logits[k] - largest) * factor;
      if (k == label) gradient -= o.gradient_scale;
    }
    dlogits[k] = gradient;
  }
}

template <int kThreads>
__global__ void __launch_bounds__(kThreads) cross_entropy_kernel(CrossEntropy o) {
  const std::int64_t row = blockIdx.x;
  const float* logits = o.logits + row * o.stride;
  const int label = o.labels[row % o.label_rows];
  float largest = __uint_as_float(0xFF800000U);
  float factor = 0;
  double loss = 0;
  int before = 0;
  if (label >= 0) {
    for (int k = static_cast<int>(threadIdx.x); k < o.classes; k += kThreads) {
      largest = fmaxf(largest, logits[k]);
    }
    largest = block_max<kThreads>(largest);
    const float label_logit = logits[label];
    double sum = 0;
    for (int k = static_cast<int>(threadIdx.x); k < o.classes; k += kThreads) {
      sum += static_cast<double>(expf(logits[k] - largest));
      before += is_behind(logits[k], k, label_logit, label) ? 0 : 1;
    }
    sum = block_sum<kThreads>(sum);
    before = block_sum<kThreads>(before);
    factor = static_cast<float>(o.gradient_scale / sum);
    loss = log(sum) - (double{label_logit} - double{largest});
  }
  if (o.dlogits != nullptr) store_gradient<kThreads>(o, row, label, largest, factor);
  if (threadIdx.x != 0) return;
  double* terms = o.terms + row * kClassTerms;
  terms[0] = loss;
  terms[1] = label >= 0 && before < 1 ? 1 : 0;
  terms[2] = label >= 0 && before < 5 ? 1 : 0;
  terms[3] = label >= 0 ? 1 : 0;
}

}  // namespace

Prepared prepare(const L2Normalize& op, const Context& context) {
  const Layout layout = context.layout(op.z);
  return make_step([z = context.values<float>(op.z), u = context.values<float>(op.u),
                    inverse_norm = context.values<float>(op.inverse_norm), rows = layout.rows(),
                    stride = static_cast<int>(layout.stride), stream = context.stream()] {
    launch(normalize_kernel, one_warp_each(rows), stream, z, rows, stride, u, inverse_norm);
  });
}

Prepared prepare(const L2NormalizeBackward& op, const Context& context) {
  const Layout layout = context.layout(op.u);
  return make_step(
      [u = context.values<float>(op.u), inverse_norm = context.values<float>(op.inverse_norm),
       du = context.values<float>(op.du), dz = context.values<float>(op.dz), rows = layout.rows(),
       stride = static_cast<int>(layout.stride), stream = context.stream()] {
        launch(normalize_backward_kernel, one_warp_each(rows), stream, u, inverse_norm, du, rows,
               stride, dz);
      });
}

Prepared prepare(const SoftmaxCrossEntropy& op, const Context& context) {
  const TensorView logits = context.tensor(op.logits);
  CrossEntropy operands{.logits = logits.as<float>(),
                        .labels = context.values<std::int32_t>(op.labels),
                        .label_rows = context.info(op.labels).shape.elements(),
                        .dlogits = context.values<float>(op.dlogits),
                        .rows = logits.layout.rows(),
                        .classes = static_cast<int>(logits.layout.channels),
                        .stride = static_cast<int>(logits.layout.stride),
                        .gradient_scale = op.gradient_scale};
  const std::size_t terms_bytes =
      static_cast<std::size_t>(operands.rows) * kClassTerms * sizeof(double);
  const bool is_short = operands.classes <= kShortRow;
  const auto kernel = is_short ? cross_entropy_kernel<kWarp> : cross_entropy_kernel<256>;
  const int threads = is_short ? kWarp : 256;
  return make_step(terms_bytes, [=, sums = context.values<double>(op.sums),
                                 stream = context.stream()](Workspace workspace) mutable {
    operands.terms = reinterpret_cast<double*>(workspace.data());
    launch(kernel,
           {.grid = dim3(static_cast<unsigned>(operands.rows)),
            .block = dim3(static_cast<unsigned>(threads))},
           stream, operands);
    sum_terms(operands.terms, operands.rows, kClassTerms, sums, stream);
  });
}

}  // namespace simclr::cuda
