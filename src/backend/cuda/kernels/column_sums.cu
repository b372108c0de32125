#include "column_sums.hpp"

#include "../launch.hpp"
#include "reduce.cuh"

namespace simclr::cuda {

namespace {

/// A block sums kWarp neighbouring columns; its thread (x, y) every kRowThreads-th row of column x.
constexpr int kRowThreads = 16;

__global__ void __launch_bounds__(kWarp* kRowThreads)
    column_sums_kernel(const float* __restrict__ matrix, float* __restrict__ sums,
                       std::int64_t rows, std::int64_t columns, std::int64_t stride) {
  __shared__ double partial[kRowThreads][kWarp];
  const std::int64_t column = std::int64_t{blockIdx.x} * kWarp + threadIdx.x;
  double sum = 0;
  if (column < columns) {
    const float* at = matrix + column;
#pragma unroll 4
    for (std::int64_t row = threadIdx.y; row < rows; row += kRowThreads) sum += at[row * stride];
  }
  partial[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= columns) return;
#pragma unroll
  for (int y = 1; y < kRowThreads; ++y) sum += partial[y][threadIdx.x];
  sums[column] = static_cast<float>(sum);
}

}  // namespace

void column_sums(const float* matrix, float* sums, std::int64_t rows, std::int64_t columns,
                 std::int64_t stride, cudaStream_t stream) {
  const std::int64_t blocks = ceil_div<std::int64_t>(columns, kWarp);
  launch(column_sums_kernel,
         {.grid = dim3(static_cast<unsigned>(blocks)), .block = dim3(kWarp, kRowThreads)}, stream,
         matrix, sums, rows, columns, stride);
}

}  // namespace simclr::cuda
