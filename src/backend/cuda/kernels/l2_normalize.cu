// A warp a row: rows are short (128), sums over them in double.

#include "l2_normalize.hpp"

#include "../launch.hpp"
#include "element.cuh"
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

}  // namespace

void l2_normalize(const float* z, std::int64_t rows, int stride, float* u, float* inverse_norm,
                  cudaStream_t stream) {
  launch(normalize_kernel, one_warp_each(rows), stream, z, rows, stride, u, inverse_norm);
}

void l2_normalize_backward(const float* u, const float* inverse_norm, const float* du,
                           std::int64_t rows, int stride, float* dz, cudaStream_t stream) {
  launch(normalize_backward_kernel, one_warp_each(rows), stream, u, inverse_norm, du, rows, stride,
         dz);
}

}  // namespace simclr::cuda
