#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace simclr::cuda {

/// sums (width) = the column sums of terms (rows, width), f64, in an order fixed by `rows`. `width`
/// is 3 or 4.
void sum_terms(const double* terms, std::int64_t rows, int width, double* sums,
               cudaStream_t stream);

}  // namespace simclr::cuda
