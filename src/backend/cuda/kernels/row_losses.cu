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

/// Terms of a row: loss, top-1, top-5, samples, and agreements if there is a teacher.
constexpr int kClassTerms = 4;

struct CrossEntropy {
  const float* logits = nullptr;         ///< (rows, stride)
  const std::int32_t* labels = nullptr;  ///< (label_rows); negative: padding
  std::int64_t label_rows = 1;           ///< a row has the label of its number modulo this
  float* dlogits = nullptr;              ///< (rows, stride), or null
  const float* teacher = nullptr;        ///< (rows, stride), or null
  double* terms = nullptr;               ///< (rows, kClassTerms [+ 1])
  std::int64_t rows = 0;
  int classes = 0, stride = 0;
  float gradient_scale = 1, temperature = 1, label_weight = 1;
};

/// What a row's gradient takes from the sums over its classes.
struct RowGradient {
  int label = -1;
  float largest = 0, factor = 0;  ///< of the softmax with which the label is compared
  /// In distillation: the teacher's largest logit, and the factors of both softmaxes.
  float largest_wanted = 0, tempered_factor = 0, wanted_factor = 0;
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
__device__ void store_gradient(const CrossEntropy& o, std::int64_t row, const RowGradient& g) {
  const float* logits = o.logits + row * o.stride;
  float* dlogits = o.dlogits + row * o.stride;
  for (int k = static_cast<int>(threadIdx.x); k < o.stride; k += kThreads) {
    float gradient = 0;
    if (k < o.classes && g.label >= 0) {
      gradient = expf(logits[k] - g.largest) * g.factor;
      if (k == g.label) gradient -= o.gradient_scale;
    }
    if (k < o.classes && o.teacher != nullptr) {
      const float wanted = o.teacher[row * o.stride + k];
      gradient = o.label_weight * gradient +
                 (expf((logits[k] - g.largest) / o.temperature) * g.tempered_factor -
                  expf((wanted - g.largest_wanted) / o.temperature) * g.wanted_factor);
    }
    dlogits[k] = gradient;
  }
}

/// The largest of a row; NaN is passed over.
template <int kThreads>
__device__ float largest_of(const float* row, int classes) {
  float largest = __uint_as_float(0xFF800000U);
  for (int k = static_cast<int>(threadIdx.x); k < classes; k += kThreads) {
    largest = fmaxf(largest, row[k]);
  }
  return block_max<kThreads>(largest);
}

/// How many classes come before this one.
template <int kThreads>
__device__ int place_of(const float* logits, int classes, int of) {
  int before = 0;
  for (int k = static_cast<int>(threadIdx.x); k < classes; k += kThreads) {
    before += is_behind(logits[k], k, logits[of], of) ? 0 : 1;
  }
  return block_sum<kThreads>(before);
}

/// Distillation: adds its part to the loss of the row, and completes what its gradient needs.
/// Returns whether the largest logit is the teacher's.
template <int kThreads>
__device__ bool distill(const CrossEntropy& o, std::int64_t row, double& loss, RowGradient& g) {
  const float* logits = o.logits + row * o.stride;
  const float* teacher = o.teacher + row * o.stride;
  g.largest = largest_of<kThreads>(logits, o.classes);
  g.largest_wanted = largest_of<kThreads>(teacher, o.classes);
  double sum = 0;
  double sum_wanted = 0;
  double expected = 0;
  float best = __uint_as_float(0xFF800000U);  // minus the first class with the teacher's largest
  for (int k = static_cast<int>(threadIdx.x); k < o.classes; k += kThreads) {
    const auto wanted = static_cast<double>(expf((teacher[k] - g.largest_wanted) / o.temperature));
    sum += static_cast<double>(expf((logits[k] - g.largest) / o.temperature));
    sum_wanted += wanted;
    expected += wanted * (double{logits[k]} - double{g.largest});
    if (teacher[k] == g.largest_wanted) best = fmaxf(best, static_cast<float>(-k));
  }
  sum = block_sum<kThreads>(sum);
  sum_wanted = block_sum<kThreads>(sum_wanted);
  expected = block_sum<kThreads>(expected) / (sum_wanted * o.temperature);
  const double weight = 1 - double{o.label_weight};
  const double temperature = o.temperature;
  loss = double{o.label_weight} * loss + weight * temperature * temperature * (log(sum) - expected);
  g.tempered_factor = static_cast<float>(weight * temperature * o.gradient_scale / sum);
  g.wanted_factor = static_cast<float>(weight * temperature * o.gradient_scale / sum_wanted);
  best = block_max<kThreads>(best);
  if (!(best <= 0 && best > static_cast<float>(-o.classes))) return false;  // a teacher of NaN
  return place_of<kThreads>(logits, o.classes, static_cast<int>(-best)) < 1;
}

template <int kThreads>
__global__ void __launch_bounds__(kThreads) cross_entropy_kernel(CrossEntropy o) {
  const std::int64_t row = blockIdx.x;
  const float* logits = o.logits + row * o.stride;
  RowGradient g{.label = o.labels[row % o.label_rows]};
  const bool labeled = g.label >= 0;
  double loss = 0;
  int before = 0;
  if (labeled) {
    g.largest = largest_of<kThreads>(logits, o.classes);
    double sum = 0;
    for (int k = static_cast<int>(threadIdx.x); k < o.classes; k += kThreads) {
      sum += static_cast<double>(expf(logits[k] - g.largest));
    }
    sum = block_sum<kThreads>(sum);
    before = place_of<kThreads>(logits, o.classes, g.label);
    g.factor = static_cast<float>(o.gradient_scale / sum);
    loss = log(sum) - (double{logits[g.label]} - double{g.largest});
  }
  const bool distills = o.teacher != nullptr;
  const bool agrees = distills && distill<kThreads>(o, row, loss, g);
  if (o.dlogits != nullptr) store_gradient<kThreads>(o, row, g);
  if (threadIdx.x != 0) return;
  double* terms = o.terms + row * (kClassTerms + (distills ? 1 : 0));
  terms[0] = loss;
  terms[1] = labeled && before < 1 ? 1 : 0;
  terms[2] = labeled && before < 5 ? 1 : 0;
  terms[3] = labeled ? 1 : 0;
  if (distills) terms[4] = agrees ? 1 : 0;
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
                        .teacher = context.values<float>(op.teacher),
                        .rows = logits.layout.rows(),
                        .classes = static_cast<int>(logits.layout.channels),
                        .stride = static_cast<int>(logits.layout.stride),
                        .gradient_scale = op.gradient_scale,
                        .temperature = op.temperature,
                        .label_weight = op.label_weight};
  const int row_terms = kClassTerms + (op.teacher ? 1 : 0);
  const std::size_t terms_bytes =
      static_cast<std::size_t>(operands.rows * row_terms) * sizeof(double);
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
    sum_terms(operands.terms, operands.rows, row_terms, sums, stream);
  });
}

}  // namespace simclr::cuda
