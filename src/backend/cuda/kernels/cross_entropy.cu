// Softmax cross-entropy, a block a row: its largest logit, its sum of exponentials together with
// the label's place, its gradient. A row of 21,841 classes stays in the caches between the sweeps.

#include "cross_entropy.hpp"

#include <cmath>

#include "../launch.hpp"
#include "reduce.cuh"

namespace simclr::cuda {

namespace {

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
  const int label = o.labels[row];
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
  double* terms = o.terms + row * 4;
  terms[0] = loss;
  terms[1] = label >= 0 && before < 1 ? 1 : 0;
  terms[2] = label >= 0 && before < 5 ? 1 : 0;
  terms[3] = label >= 0 ? 1 : 0;
}

}  // namespace

void softmax_cross_entropy(const CrossEntropy& operands, cudaStream_t stream) {
  const auto run = [&](auto* kernel, int threads) {
    launch(kernel,
           {.grid = dim3(static_cast<unsigned>(operands.rows)),
            .block = dim3(static_cast<unsigned>(threads))},
           stream, operands);
  };
  if (operands.classes <= kShortRow) {
    run(cross_entropy_kernel<kWarp>, kWarp);
  } else {
    run(cross_entropy_kernel<256>, 256);
  }
}

}  // namespace simclr::cuda
