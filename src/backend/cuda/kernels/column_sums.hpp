#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace simclr::cuda {

/// sums[c] = sum over rows of matrix (rows, columns; row stride `stride`), added in f64.
void column_sums(const float* matrix, float* sums, std::int64_t rows, std::int64_t columns,
                 std::int64_t stride, cudaStream_t stream);

}  // namespace simclr::cuda
