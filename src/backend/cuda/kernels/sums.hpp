#pragma once
// Sums over rows, the largest values of rows, and whether values are finite.

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace simclr::cuda {

/// sums[c] = sum over rows of matrix (rows, columns; row stride `stride`), added in f64.
void column_sums(const float* matrix, float* sums, std::int64_t rows, std::int64_t columns,
                 std::int64_t stride, cudaStream_t stream);

/// sums (width) = the column sums of terms (rows, width), f64, in an order fixed by `rows`. `width`
/// is 3 or 4.
void sum_terms(const double* terms, std::int64_t rows, int width, double* sums,
               cudaStream_t stream);

/// verdict[0] = 1 where any loss sum, verdict[1] = 1 where any gradient is infinite or NaN.
void check_finite(const double* loss_sums, std::int64_t loss_count, const float* gradients,
                  std::int64_t gradient_count, std::int32_t* verdict, cudaStream_t stream);

/// Whether none of `count` f32 values on the device is infinite or NaN; waits for the answer.
bool all_finite(const float* values, std::size_t count, cudaStream_t stream);

/// The most values that are found in a row: they are sorted in shared memory.
inline constexpr int kMostBest = 1024;

struct TopKArguments {
  const float* values = nullptr;        ///< (rows, width) in rows of `stride`, a multiple of 4
  const std::int32_t* valid = nullptr;  ///< how many columns count
  std::int64_t rows = 0, stride = 0;
  int width = 0;
  float* best = nullptr;            ///< (rows, k) in rows of `best_stride`, padded by zeros
  std::int32_t* columns = nullptr;  ///< (rows, k)
  int k = 0;                        ///< at most kMostBest
  int best_stride = 0;
};

/// See TopK in program/ops.hpp.
void top_k(const TopKArguments& arguments, cudaStream_t stream);

}  // namespace simclr::cuda
