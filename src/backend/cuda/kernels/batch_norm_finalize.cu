// Batch normalization: from sums to coefficients. One thread a channel, in f64.
//
// Precision of plain sums, in f32: with u = 2^-24 an error of k u in them is one of k u (1 + r^2)
// in the variance, r the ratio of mean to standard deviation, whatever the shift. Activations in
// f16 have rounding errors of 2^-11 of their own size, which is r 2^-11 of the deviation: where
// k u (1 + r^2) would count, they hold little but rounding.

#include "../launch.hpp"
#include "batch_norm.hpp"

namespace simclr::cuda {

namespace {

// Square roots and divisions in f64 take long: few threads a block, many multiprocessors.
constexpr unsigned kThreads = 64;

__global__ void __launch_bounds__(kThreads) finalize_kernel(BnFinalizeOperands o) {
  const int c = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (c >= o.channels) return;
  const double gamma = o.gamma[c];
  const double beta = o.beta == nullptr ? 0 : o.beta[c];
  const double shift = o.running_mean[c];  // the one BnStatistics used
  double mean_of_groups = 0;
  double var_of_groups = 0;
  for (int g = 0; g < o.groups; ++g) {
    const int first = g * 2 * o.channels + c;
    const int second = first + o.channels;
    const double offset = o.stats[first] / o.count;
    const double difference = o.stats[second] / o.count - offset * offset;
    const double var = difference < 0 ? 0 : difference;  // rounding only; NaN stays
    const double mean = shift + offset;
    const double istd = 1 / sqrt(var + o.epsilon);
    const double scale = gamma * istd;
    o.affine[first] = static_cast<float>(scale);
    o.affine[second] = static_cast<float>(beta - mean * scale);
    o.saved[first] = static_cast<float>(mean);
    o.saved[second] = static_cast<float>(istd);
    mean_of_groups += mean;
    var_of_groups += var;
  }
  const double unbiased = o.count / (o.count > 1 ? o.count - 1 : 1);
  const double of_mean = o.momentum / o.groups;
  const double of_var = of_mean * unbiased;
  o.running_mean[c] = static_cast<float>((1 - o.momentum) * shift + of_mean * mean_of_groups);
  o.running_var[c] =
      static_cast<float>((1 - o.momentum) * o.running_var[c] + of_var * var_of_groups);
}

__global__ void __launch_bounds__(kThreads)
    shift_sums_kernel(BnPlainSums plain, const float* shift, double* stats) {
  const int c = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (c >= plain.channels) return;
  const double s = shift[c];
  const double sum = plain.sums[c];
  const double squares = plain.sums[plain.stride + c];
  stats[c] = sum - plain.rows * s;
  stats[plain.channels + c] = squares - s * (2 * sum - plain.rows * s);
}

__global__ void __launch_bounds__(kThreads) inference_kernel(BnInferenceOperands o) {
  const int c = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (c >= o.channels) return;
  const double scale = o.gamma[c] / sqrt(o.running_var[c] + o.epsilon);
  const double beta = o.beta == nullptr ? 0 : o.beta[c];
  o.affine[c] = static_cast<float>(scale);
  o.affine[o.channels + c] = static_cast<float>(beta - o.running_mean[c] * scale);
}

}  // namespace

void bn_finalize(const BnFinalizeOperands& operands, cudaStream_t stream) {
  launch(finalize_kernel, one_thread_each(operands.channels, kThreads), stream, operands);
}

void bn_shift_sums(const BnPlainSums& plain, const float* shift, double* stats,
                   cudaStream_t stream) {
  launch(shift_sums_kernel, one_thread_each(plain.channels, kThreads), stream, plain, shift, stats);
}

void bn_inference(const BnInferenceOperands& operands, cudaStream_t stream) {
  launch(inference_kernel, one_thread_each(operands.channels, kThreads), stream, operands);
}

}  // namespace simclr::cuda
