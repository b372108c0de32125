#pragma once
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

#include "row_tiles.cuh"

namespace simclr::cuda {

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
