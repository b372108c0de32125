// Batch normalization: sums of the forward pass, and the second stage of all its sums.

#include <algorithm>
#include <bit>

#include "batch_norm.hpp"
#include "batch_norm_sums.cuh"

namespace simclr::cuda {

namespace {

template <class T>
__global__ void __launch_bounds__(kMostTileThreads, 3)
    statistics_kernel(RowTiles tiles, const T* __restrict__ y, const float* __restrict__ shift,
                      double* __restrict__ partials) {
  __shared__ SliceTable<T, 1, kMostSumLanes> table;
  const ThreadTile tile = thread_tile<T>(tiles);
  table.fill(tiles, tile, [&](int channel, float(&of)[1]) { of[0] = shift[channel]; });
  float shifts[kPackSize<T>];
  table.read(0, shifts);

  ThreadSums<T> sums;
  for_each_rows<4>(tile, [&]<int kRows>(std::int64_t offset, RowCount<kRows>) {
    RowPacks<T, kRows> ys;
    ys.load(y, offset, tile.row_step);
#pragma unroll
    for (int i = 0; i < kPackSize<T>; ++i) {
      float first = 0;
      float second = 0;
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const float centered = widen(ys.rows[r].values[i]) - shifts[i];
        first += centered;
        second = fmaf(centered, centered, second);
      }
      sums.first[i] += first;
      sums.second[i] += second;
    }
  });
  store_partials(tiles, tile, sums, partials);
}

// Columns of (2, C) of a block; 64 bytes of each chunk's row.
constexpr int kColumns = 8;
constexpr int kMostAdders = 128;

/// Thread (x, y) adds every blockDim.y-th chunk of column x, then the block the threads' sums as a
/// tree. Group after group: they are few.
__global__ void __launch_bounds__(kColumns* kMostAdders)
    add_partials_kernel(RowTiles tiles, const double* __restrict__ partials, BnTotals totals) {
  __shared__ double sums[kMostAdders][kColumns];
  const int adder = static_cast<int>(threadIdx.y);
  const int adders = static_cast<int>(blockDim.y);
  const int x = static_cast<int>(threadIdx.x);
  const int columns = 2 * tiles.channels;
  const int column = static_cast<int>(blockIdx.x) * kColumns + x;
  const bool is_second = column >= tiles.channels;
  const int channel = is_second ? column - tiles.channels : column;
  const int chunks = tiles.repeats * tiles.chunks;
  double total = 0;
  for (int group = 0; group < tiles.groups; ++group) {
    const double* of_group = partials + std::int64_t{group} * chunks * columns + column;
    double sum = 0;
    if (column < columns) {
#pragma unroll 8
      for (int chunk = adder; chunk < chunks; chunk += adders) {
        sum += of_group[std::int64_t{chunk} * columns];
      }
    }
    sums[adder][x] = sum;
    __syncthreads();
    for (int distance = adders / 2; distance > 0; distance /= 2) {
      if (adder < distance) sums[adder][x] += sums[adder + distance][x];
      __syncthreads();
    }
    if (adder == 0 && column < columns) {
      sum = sums[0][x];
      if (is_second && totals.saved != nullptr) {
        sum *= totals.saved[(group * 2 + 1) * tiles.channels + channel];
      }
      totals.sums[group * columns + column] = sum;
      total += sum;
    }
    __syncthreads();
  }
  float* gradient = is_second ? totals.dgamma : totals.dbeta;
  if (adder == 0 && column < columns && gradient != nullptr) {
    gradient[channel] = static_cast<float>(total);
  }
}

}  // namespace

template <class T>
void bn_statistics(const RowTiles& tiles, const T* y, const float* shift, double* partials,
                   cudaStream_t stream) {
  launch(statistics_kernel<T>, launch_shape(tiles), stream, tiles, y, shift, partials);
}
template void bn_statistics(const RowTiles&, const float*, const float*, double*, cudaStream_t);
template void bn_statistics(const RowTiles&, const bf16*, const float*, double*, cudaStream_t);
template void bn_statistics(const RowTiles&, const f16*, const float*, double*, cudaStream_t);

void bn_add_partials(const RowTiles& tiles, const double* partials, const BnTotals& totals,
                     cudaStream_t stream) {
  // About eight chunks a thread, all under way at once; a power of two for the tree.
  const auto chunks = static_cast<unsigned>(tiles.chunks_of_group());
  const unsigned adders = std::min<unsigned>(std::bit_ceil(ceil_div(chunks, 8U)), kMostAdders);
  const auto blocks = static_cast<unsigned>(ceil_div(2 * tiles.channels, kColumns));
  launch(add_partials_kernel, {.grid = dim3(blocks), .block = dim3(kColumns, std::max(adders, 4U))},
         stream, tiles, partials, totals);
}

}  // namespace simclr::cuda
