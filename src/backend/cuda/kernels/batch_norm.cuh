#pragma once
// What batch normalization's kernels share. Activations (rows, stride) of T: f32, bf16 or f16;
// per-channel arrays f32 (C) or (G,2,C), sums f64 (G,2,C), all packed. The formulas stand in
// program/ops.hpp.
//
// Bytes moved for each element (T stands for its size). Partial sums add 1.5 % of what is read to
// tensors of 150 MB and more, 6 % at 35 MB, and fit the second-level cache:
//   statistics       read y                                       1 T
//   apply            read y, [residual]; write z                  2 T, 3 T with a residual
//   backward_reduce  read dz, y, [dz_other], [z]; [write dz]      2 T to 5 T
//   backward_apply   read dz, y; write dy                         3 T
//
// Two sums per channel over the rows of a chunk.
//
// Precision. With u = 2^-24, a thread adds at most kMostRowsSummed = 128 rows in f32, in batches of
// four that are summed first (of two where four tensors are read): a term takes part in no more
// than 3 + 32 (1 + 64) additions, and has two roundings of its own. So |error| <= 67 u = 4e-6 of
// the sum of the terms' magnitudes at the very worst, whatever the number of rows, because all that
// follows, over a block's threads, over chunks and ranks, is added in f64. Roundings have either
// sign: a thread's error is near u, and a million rows of a channel, some 8000 threads' sums, are
// right to 1e-9 (batch_norm_sums_test); 512 x 112 x 112 rows are still more threads. The shift
// (running mean, mean) keeps terms as small as the values' spread, so that the variance is no
// difference of large numbers.

#include <cstddef>

#include "../steps.hpp"
#include "row_tiles.cuh"

namespace simclr::cuda {

/// What a stage of partial sums needs.
inline std::size_t bn_partial_bytes(const RowTiles& tiles) {
  return static_cast<std::size_t>(tiles.all_chunks()) * 2 *
         static_cast<std::size_t>(tiles.channels) * sizeof(double);
}

/// Where the chunks' partial sums go.
struct BnTotals {
  double* sums = nullptr;        ///< (G,2,C)
  const float* saved = nullptr;  ///< not null: the second sums times its istd
  float* dgamma = nullptr;       ///< not null: the second sums over all groups
  float* dbeta = nullptr;        ///< not null: the first sums over all groups
};
void bn_add_partials(const RowTiles& tiles, const double* partials, const BnTotals& totals,
                     cudaStream_t stream);

/// A thread's sums over its channels.
template <class T>
struct ThreadSums {
  float first[kPackSize<T>] = {};
  float second[kPackSize<T>] = {};
};

/// partials (all chunks, 2, C): the threads' sums added in f64 in the order of their rows. All
/// threads of the block call it.
template <class T>
__device__ __forceinline__ void store_partials(const RowTiles& tiles, const ThreadTile& tile,
                                               const ThreadSums<T>& sums,
                                               double* __restrict__ partials) {
  alignas(16) __shared__ float of_threads[kMostTileThreads * 2 * kPackSize<T>];
  const int width = tiles.lanes * kPackSize<T>;  // channels of the slice
  float* own = of_threads + static_cast<int>(threadIdx.y) * 2 * width +
               static_cast<int>(threadIdx.x) * kPackSize<T>;
#pragma unroll
  for (int i = 0; i < kPackSize<T>; ++i) {
    own[i] = sums.first[i];
    own[width + i] = sums.second[i];
  }
  __syncthreads();
  const int threads = static_cast<int>(blockDim.x * blockDim.y);
#pragma unroll 1
  for (int column = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x); column < 2 * width;
       column += threads) {
    const int which = column / width;
    const int channel = tile.slice_channel + column % width;
    if (channel >= tiles.channels) continue;
    double sum = 0;
    for (int row = 0; row < tiles.row_lanes; ++row) sum += of_threads[row * 2 * width + column];
    partials[(tile.chunk * 2 + which) * tiles.channels + channel] = sum;
  }
}

}  // namespace simclr::cuda
