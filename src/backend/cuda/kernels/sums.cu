// Sums over rows, whether values are finite, and marks of how far the device has come.

#include <algorithm>

#include "../launch.hpp"
#include "../memory.hpp"
#include "../steps.hpp"
#include "element.cuh"
#include "kernels.hpp"
#include "reduce.cuh"

namespace simclr::cuda {

namespace {

/// A block sums kWarp neighboring columns; its thread (x, y) every kRowThreads-th row of column x.
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

constexpr int kDeviationRowThreads = 32;

/// deviations[c] = the standard deviation of column c, divided by the number of columns.
__global__ void __launch_bounds__(kWarp* kDeviationRowThreads)
    column_deviations_kernel(const float* __restrict__ matrix, double* __restrict__ deviations,
                             std::int64_t rows, std::int64_t columns, std::int64_t stride) {
  __shared__ double sums[kDeviationRowThreads][kWarp];
  __shared__ double squares[kDeviationRowThreads][kWarp];
  const std::int64_t column = std::int64_t{blockIdx.x} * kWarp + threadIdx.x;
  double sum = 0;
  double square = 0;
  if (column < columns) {
    const float* at = matrix + column;
#pragma unroll 4
    for (std::int64_t row = threadIdx.y; row < rows; row += kDeviationRowThreads) {
      const double value = at[row * stride];
      sum += value;
      square += value * value;
    }
  }
  sums[threadIdx.y][threadIdx.x] = sum;
  squares[threadIdx.y][threadIdx.x] = square;
  __syncthreads();
  if (threadIdx.y != 0 || column >= columns) return;
#pragma unroll
  for (int y = 1; y < kDeviationRowThreads; ++y) {
    sum += sums[y][threadIdx.x];
    square += squares[y][threadIdx.x];
  }
  const double mean = sum / static_cast<double>(rows);
  const double variance = square / static_cast<double>(rows) - mean * mean;
  deviations[column] = sqrt(variance < 0 ? 0 : variance) / static_cast<double>(columns);
}

constexpr int kTermThreads = 512;

/// One block.
template <int kWidth>
__global__ void __launch_bounds__(kTermThreads)
    sum_terms_kernel(const double* __restrict__ terms, std::int64_t rows,
                     double* __restrict__ sums) {
  double own[kWidth] = {};
  for (std::int64_t row = threadIdx.x; row < rows; row += kTermThreads) {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) own[i] += terms[row * kWidth + i];
  }
#pragma unroll
  for (int i = 0; i < kWidth; ++i) {
    const double sum = block_sum<kTermThreads>(own[i]);
    if (threadIdx.x == 0) sums[i] = sum;
  }
}

constexpr int kThreads = 256;
constexpr std::int64_t kMostBlocks = 1024;

/// The difference of an infinite or NaN value with itself is NaN.
template <class T>
__device__ __forceinline__ bool is_not_finite(T value) {
  return !(value - value == T{0});
}

/// flag = 1 where any value is not finite. All who find one write the same, so that who comes last
/// does not matter.
template <class T>
__global__ void __launch_bounds__(kThreads)
    mark_not_finite_kernel(const T* __restrict__ values, std::int64_t count, std::int32_t* flag) {
  const std::int64_t step = std::int64_t{gridDim.x} * kThreads * kPackSize<T>;
  std::int64_t first = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) * kPackSize<T>;
  bool found = false;
#pragma unroll 4
  for (; first + kPackSize<T> <= count; first += step) {
    const Pack<T> pack = load_pack(values + first);
#pragma unroll
    for (int i = 0; i < kPackSize<T>; ++i) found |= is_not_finite(pack.values[i]);
  }
  for (std::int64_t i = first; i < count; ++i) found |= is_not_finite(values[i]);
  if (found) *flag = 1;
}

template <class T>
void mark_not_finite(const T* values, std::int64_t count, std::int32_t* flag, cudaStream_t stream) {
  const std::int64_t blocks = ceil_div<std::int64_t>(count, kThreads * kPackSize<T>);
  const auto grid = static_cast<unsigned>(std::clamp<std::int64_t>(blocks, 1, kMostBlocks));
  launch(mark_not_finite_kernel<T>, {.grid = dim3(grid), .block = dim3(kThreads)}, stream, values,
         count, flag);
}

__global__ void __launch_bounds__(1) write_mark_kernel(Mark mark) {
  *static_cast<volatile std::int32_t*>(mark.word) = mark.op;
}

}  // namespace

void column_sums(const float* matrix, float* sums, std::int64_t rows, std::int64_t columns,
                 std::int64_t stride, cudaStream_t stream) {
  const std::int64_t blocks = ceil_div<std::int64_t>(columns, kWarp);
  launch(column_sums_kernel,
         {.grid = dim3(static_cast<unsigned>(blocks)), .block = dim3(kWarp, kRowThreads)}, stream,
         matrix, sums, rows, columns, stride);
}

void sum_terms(const double* terms, std::int64_t rows, int width, double* sums,
               cudaStream_t stream) {
  require(width == 1 || (width >= 3 && width <= 5), "terms are one or three to five wide");
  const auto kernel = width == 1   ? sum_terms_kernel<1>
                      : width == 3 ? sum_terms_kernel<3>
                      : width == 4 ? sum_terms_kernel<4>
                                   : sum_terms_kernel<5>;
  launch(kernel, {.block = dim3(kTermThreads)}, stream, terms, rows, sums);
}

Prepared prepare(const ColumnDeviation& op, const Context& context) {
  const Layout u = context.layout(op.u);
  const std::int64_t columns = u.channels;
  const auto blocks = static_cast<unsigned>(ceil_div<std::int64_t>(columns, kWarp));
  return make_step(
      static_cast<std::size_t>(columns) * sizeof(double),
      [=, matrix = context.values<float>(op.u), rows = u.rows(), stride = std::int64_t{u.stride},
       deviation = context.values<double>(op.deviation),
       stream = context.stream()](Workspace workspace) {
        auto* deviations = reinterpret_cast<double*>(workspace.data());
        launch(column_deviations_kernel,
               {.grid = dim3(blocks), .block = dim3(kWarp, kDeviationRowThreads)}, stream, matrix,
               deviations, rows, columns, stride);
        sum_terms(deviations, columns, 1, deviation, stream);
      });
}

Prepared prepare(const CheckFinite& op, const Context& context) {
  return make_step([loss_sums = context.values<double>(op.loss_sums),
                    loss_count = context.info(op.loss_sums).shape.elements(),
                    gradients = context.values<float>(op.gradients),
                    gradient_count = context.info(op.gradients).shape.elements(),
                    verdict = context.values<std::int32_t>(op.verdict), stream = context.stream()] {
    mark_not_finite(loss_sums, loss_count, verdict, stream);
    mark_not_finite(gradients, gradient_count, verdict + 1, stream);
  });
}

bool all_finite(const float* values, std::size_t count, cudaStream_t stream) {
  const Buffer memory = allocate_device(sizeof(std::int32_t), "a flag");
  auto* flag = reinterpret_cast<std::int32_t*>(memory.data());
  check(cudaMemsetAsync(flag, 0, sizeof *flag, stream), "clear a flag");
  mark_not_finite(values, static_cast<std::int64_t>(count), flag, stream);
  std::int32_t answer = 1;
  check(cudaMemcpyAsync(&answer, flag, sizeof answer, cudaMemcpyDeviceToHost, stream),
        "copy a flag from the device");
  check(cudaStreamSynchronize(stream), "wait for a flag");
  return answer == 0;
}

void write_mark(const Mark& mark, cudaStream_t stream) {
  if (mark.word != nullptr) launch(write_mark_kernel, {}, stream, mark);
}

}  // namespace simclr::cuda
