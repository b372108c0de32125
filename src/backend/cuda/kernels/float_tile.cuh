#pragma once
// Tiles of the similarity matrix in f32.

#include <cuda_runtime.h>

#include "contrastive.hpp"
#include "element.cuh"
#include "similarity.cuh"

namespace simclr::cuda {

// Products of 128 x 128 tiles: 256 threads of 8 x 8 sums each, operands in slices of depth 8
// through two places in shared memory

inline constexpr int kFloatTile = kFloatRowsPerBlock;
inline constexpr int kFloatThreads = 256;
inline constexpr int kSliceDepth = 8;
/// Distance between the rows of a slice, chosen so that stores of two threads that share a tile row
/// go to different banks.
inline constexpr int kFloatPitch = kFloatTile + 4;

/// Slice of an operand, depth first.
using FloatSlice = float[kSliceDepth][kFloatPitch];
struct FloatSlices {
  alignas(16) FloatSlice a[2], b[2];
};
using FloatSums = float[8][8];

/// The thread's place among 16 x 16.
__device__ __forceinline__ int tile_row() { return static_cast<int>(threadIdx.x) / 16; }
__device__ __forceinline__ int tile_column() { return static_cast<int>(threadIdx.x) % 16; }
/// The tile's row (column) that is the i-th of 8 of the thread at row (column) `place`.
__device__ __forceinline__ int spread(int place, int i) { return i / 4 * 64 + place * 4 + i % 4; }

__device__ __forceinline__ void load_operand(const float (&row)[kFloatPitch], int place,
                                             float (&values)[8]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const Pack<float> pack = load_pack(row + half * 64 + place * 4);
#pragma unroll
    for (int i = 0; i < 4; ++i) values[half * 4 + i] = pack.values[i];
  }
}

/// sums += a^T b.
__device__ __forceinline__ void multiply_slice(const FloatSlice& a, const FloatSlice& b,
                                               FloatSums& sums) {
#pragma unroll 4  // of all 8, the gradient's registers do not suffice
  for (int k = 0; k < kSliceDepth; ++k) {
    float of_a[8];
    float of_b[8];
    load_operand(a[k], tile_row(), of_a);
    load_operand(b[k], tile_column(), of_b);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
#pragma unroll
      for (int j = 0; j < 8; ++j) sums[i][j] = fmaf(of_a[i], of_b[j], sums[i][j]);
    }
  }
}

/// Four elements of embedding threadIdx.x / 2; zeros for those that are not there.
__device__ __forceinline__ Pack<float> fetch_transposed(const float* embeddings, int count,
                                                        int stride, int depth) {
  const int row = static_cast<int>(threadIdx.x) / 2;
  if (row >= count) return {};
  return load_pack(embeddings + std::int64_t{row} * stride + depth + threadIdx.x % 2 * 4);
}
__device__ __forceinline__ void store_transposed(FloatSlice& slice, const Pack<float>& pack) {
#pragma unroll
  for (int i = 0; i < 4; ++i) slice[threadIdx.x % 2 * 4 + i][threadIdx.x / 2] = pack.values[i];
}

/// sums = the products of 128 embeddings with 128 others; fewer of either are there when a count
/// says so, the rest is zero. `stride` is a multiple of 8. Ends with a barrier.
__device__ __forceinline__ void similarity_tile(const float* rows, int row_count,
                                                const float* columns, int column_count, int stride,
                                                FloatSlices& slices, FloatSums& sums) {
#pragma unroll
  for (int i = 0; i < 8; ++i) {
#pragma unroll
    for (int j = 0; j < 8; ++j) sums[i][j] = 0;
  }
  store_transposed(slices.a[0], fetch_transposed(rows, row_count, stride, 0));
  store_transposed(slices.b[0], fetch_transposed(columns, column_count, stride, 0));
  __syncthreads();
  int place = 0;
  for (int depth = kSliceDepth; depth < stride; depth += kSliceDepth) {
    const Pack<float> next_a = fetch_transposed(rows, row_count, stride, depth);
    const Pack<float> next_b = fetch_transposed(columns, column_count, stride, depth);
    multiply_slice(slices.a[place], slices.b[place], sums);
    place ^= 1;
    store_transposed(slices.a[place], next_a);
    store_transposed(slices.b[place], next_b);
    __syncthreads();
  }
  multiply_slice(slices.a[place], slices.b[place], sums);
  __syncthreads();
}

}  // namespace simclr::cuda
