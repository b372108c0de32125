#include "sum_terms.hpp"

#include "../launch.hpp"
#include "reduce.cuh"

namespace simclr::cuda {

namespace {

constexpr int kThreads = 512;

/// One block.
template <int kWidth>
__global__ void __launch_bounds__(kThreads)
    sum_terms_kernel(const double* __restrict__ terms, std::int64_t rows,
                     double* __restrict__ sums) {
  double own[kWidth] = {};
  for (std::int64_t row = threadIdx.x; row < rows; row += kThreads) {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) own[i] += terms[row * kWidth + i];
  }
#pragma unroll
  for (int i = 0; i < kWidth; ++i) {
    const double sum = block_sum<kThreads>(own[i]);
    if (threadIdx.x == 0) sums[i] = sum;
  }
}

}  // namespace

void sum_terms(const double* terms, std::int64_t rows, int width, double* sums,
               cudaStream_t stream) {
  require(width == 3 || width == 4, "terms are three or four wide");
  launch(width == 3 ? sum_terms_kernel<3> : sum_terms_kernel<4>, {.block = dim3(kThreads)}, stream,
         terms, rows, sums);
}

}  // namespace simclr::cuda
