#pragma once
// What a thread of a RowTiles kernel works on, and the loops over it.

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "../launch.hpp"
#include "element.cuh"
#include "row_tiles.hpp"

namespace simclr::cuda {

/// Slices next to each other are the fastest index: blocks that run together read whole rows.
inline LaunchShape launch_shape(const RowTiles& tiles) {
  return {
      .grid = dim3(static_cast<unsigned>(tiles.all_chunks() * tiles.slices)),
      .block = dim3(static_cast<unsigned>(tiles.lanes), static_cast<unsigned>(tiles.row_lanes))};
}

struct ThreadTile {
  int group = 0;
  std::int64_t chunk = 0;     ///< index among all chunks, those of a group together
  int slice_channel = 0;      ///< the slice's first channel
  std::int64_t first = 0;     ///< of the thread's first element
  int rows = 0;               ///< of the thread
  std::int64_t row_step = 0;  ///< elements from one of its rows to the next
};

template <class T>
__device__ __forceinline__ ThreadTile thread_tile(const RowTiles& tiles) {
  const unsigned slices = static_cast<unsigned>(tiles.slices);
  const unsigned chunks = static_cast<unsigned>(tiles.chunks);
  const unsigned chunk_of_all = blockIdx.x / slices;
  const int run = static_cast<int>(chunk_of_all / chunks);
  const int chunk_of_run = static_cast<int>(chunk_of_all % chunks);
  const int repeat = run / tiles.groups;

  ThreadTile tile;
  tile.group = run % tiles.groups;
  tile.chunk = (std::int64_t{tile.group} * tiles.repeats + repeat) * tiles.chunks + chunk_of_run;
  tile.slice_channel = static_cast<int>(blockIdx.x % slices) * tiles.lanes * kPackSize<T>;
  tile.row_step = std::int64_t{tiles.row_lanes} * tiles.stride;

  const std::int64_t begin = std::int64_t{chunk_of_run} * tiles.chunk_rows;
  const std::int64_t left = tiles.run_rows - begin;
  const int chunk_rows = left < tiles.chunk_rows ? static_cast<int>(left) : tiles.chunk_rows;
  const int row = static_cast<int>(threadIdx.y);
  const int channel = tile.slice_channel + static_cast<int>(threadIdx.x) * kPackSize<T>;
  tile.first = (run * tiles.run_rows + begin + row) * tiles.stride + channel;
  // The last slice may be narrower than the others.
  const bool any = channel < tiles.stride && row < chunk_rows;
  tile.rows = any ? (chunk_rows - row + tiles.row_lanes - 1) / tiles.row_lanes : 0;
  return tile;
}

template <int kRows>
using RowCount = std::integral_constant<int, kRows>;

/// visit(offset of the first element, RowCount) over the thread's rows in order: kRows at a time,
/// to have as many loads under way, then one by one.
template <int kRows, class Visit>
__device__ __forceinline__ void for_each_rows(const ThreadTile& tile, Visit&& visit) {
  std::int64_t offset = tile.first;
  int left = tile.rows;
  for (; left >= kRows; left -= kRows) {
    visit(offset, RowCount<kRows>{});
    offset += kRows * tile.row_step;
  }
  for (; left > 0; --left) {
    visit(offset, RowCount<1>{});
    offset += tile.row_step;
  }
}

/// 16 bytes of each of kRows rows.
template <class T, int kRows>
struct RowPacks {
  Pack<T> rows[kRows];

  __device__ __forceinline__ void load(const T* tensor, std::int64_t offset, std::int64_t step) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) rows[r] = load_pack(tensor + offset + r * step);
  }
  __device__ __forceinline__ void store(T* tensor, std::int64_t offset, std::int64_t step) const {
#pragma unroll
    for (int r = 0; r < kRows; ++r) store_pack(tensor + offset + r * step, rows[r]);
  }
};

/// Per-channel f32 vectors of a slice of at most kMostLanes lanes, in shared memory.
template <class T, int kVectors, int kMostLanes>
struct SliceTable {
  static constexpr int kWidth = kMostLanes * kPackSize<T>;
  alignas(16) float values[kVectors][kWidth];

  /// compute(channel, row of kVectors values) for each channel; zeros for padding channels, so that
  /// they come out as zero. All threads of the block call it.
  template <class Compute>
  __device__ __forceinline__ void fill(const RowTiles& tiles, const ThreadTile& tile,
                                       Compute&& compute) {
    const int width = tiles.lanes * kPackSize<T>;
    const int threads = static_cast<int>(blockDim.x * blockDim.y);
#pragma unroll 1
    for (int c = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x); c < width;
         c += threads) {
      float of_channel[kVectors] = {};
      if (tile.slice_channel + c < tiles.channels) compute(tile.slice_channel + c, of_channel);
#pragma unroll
      for (int v = 0; v < kVectors; ++v) values[v][c] = of_channel[v];
    }
    __syncthreads();
  }

  /// The thread's own channels of a vector.
  __device__ __forceinline__ void read(int vector, float (&own)[kPackSize<T>]) const {
    const float* from = values[vector] + threadIdx.x * kPackSize<T>;
#pragma unroll
    for (int i = 0; i < kPackSize<T>; i += kPackSize<float>) {
      const Pack<float> pack = load_pack(from + i);
#pragma unroll
      for (int j = 0; j < kPackSize<float>; ++j) own[i + j] = pack.values[j];
    }
  }
};

}  // namespace simclr::cuda
