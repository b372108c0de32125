#pragma once
// The largest values of rows.

#include <cuda_runtime.h>

#include <cstdint>

namespace simclr::cuda {

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
