#pragma once
// How the rows and channels of an activation are divided among blocks, for kernels that treat the
// rows of a group alike and each channel by itself (batch normalization); what a thread of theirs
// works on, and the loops over it.

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "../launch.hpp"
#include "../layout.hpp"
#include "element.cuh"
#include "simclr/program/ops.hpp"

namespace simclr::cuda {

inline constexpr int kMostTileThreads = 256;
/// Widest slices, in lanes of 16 bytes, of kernels that sum (one line of memory) and of those that
/// write elements.
inline constexpr int kMostSumLanes = 8;
inline constexpr int kMostElementLanes = 32;
/// Rows that one thread adds up in f32; batch_norm.cuh has what this means for precision.
inline constexpr int kMostRowsSummed = 128;

/// Rows stand in runs of equal length, one group each: run r is of group r % groups, so group 0 of
/// the first views is followed by group 1 of the first views, and so on. A tile is a chunk of one
/// run's rows times a slice of channels; one block works on it. Its threads are (lanes, row_lanes):
/// a thread moves 16 bytes of channels of every row_lanes-th row of the chunk. All of this depends
/// on shapes only, never on the device, so sums over tiles do not either.
struct RowTiles {
  std::int64_t run_rows = 1;
  int groups = 1;
  int repeats = 1;  ///< runs of a group
  int channels = 1;
  int stride = 1;  ///< stored channels of a row
  int lanes = 1;
  int row_lanes = 1;
  int slices = 1;
  int chunk_rows = 1;  ///< the last chunk of a run may have fewer
  int chunks = 1;      ///< of a run

  [[nodiscard]] std::int64_t chunks_of_group() const { return std::int64_t{repeats} * chunks; }
  [[nodiscard]] std::int64_t all_chunks() const { return groups * chunks_of_group(); }
};

inline constexpr std::int64_t kPackBytes = 16;
/// Rows of a thread come in multiples of this, so that only the last chunk of a run has rows that
/// are read one by one.
inline constexpr std::int64_t kRowMultiple = 4;
/// Tiles wanted before chunks grow: eight blocks for each of some 132 multiprocessors.
inline constexpr std::int64_t kTilesWanted = 1056;

/// The largest tile that a kernel can take.
struct TileLimits {
  std::int64_t lanes;
  std::int64_t rows_of_thread;
};

inline RowTiles make_tiles(const Layout& layout, const BnGroups& groups, TileLimits most) {
  std::int64_t runs = 1;
  if (groups.groups > 1) {
    require(layout.images % groups.samples == 0 && groups.samples % groups.groups == 0,
            "batch-normalization groups are equal parts of the samples");
    runs = layout.images / groups.samples * groups.groups;
  }
  const std::int64_t run_rows = layout.rows() / runs;
  const auto pack = kPackBytes / static_cast<std::int64_t>(size_in_bytes(layout.dtype));
  require(layout.stride % pack == 0, "normalized channels are padded to whole vectors");
  const std::int64_t packs = layout.stride / pack;
  const std::int64_t slices = ceil_div(packs, most.lanes);
  const std::int64_t lanes = ceil_div(packs, slices);
  const std::int64_t row_lanes = kMostTileThreads / lanes;

  const std::int64_t rows_wanted = layout.rows() * slices / (row_lanes * kTilesWanted);
  const std::int64_t rows_of_thread =
      std::clamp(rows_wanted / kRowMultiple * kRowMultiple, kRowMultiple, most.rows_of_thread);
  const std::int64_t chunk_rows = rows_of_thread * row_lanes;
  const std::int64_t chunks = ceil_div(run_rows, chunk_rows);
  require(runs * chunks * slices <= std::numeric_limits<std::int32_t>::max(),
          "a grid holds all tiles");
  return {.run_rows = run_rows,
          .groups = groups.groups,
          .repeats = static_cast<int>(runs / groups.groups),
          .channels = static_cast<int>(layout.channels),
          .stride = static_cast<int>(layout.stride),
          .lanes = static_cast<int>(lanes),
          .row_lanes = static_cast<int>(row_lanes),
          .slices = static_cast<int>(slices),
          .chunk_rows = static_cast<int>(chunk_rows),
          .chunks = static_cast<int>(chunks)};
}

/// Makes tiles for kernels that sum over rows: slices of one line of memory and tall chunks, so
/// that partial sums are few.
inline RowTiles tiles_for_sums(const Layout& layout, const BnGroups& groups) {
  return make_tiles(layout, groups, {.lanes = kMostSumLanes, .rows_of_thread = kMostRowsSummed});
}
/// Makes tiles for kernels that write what they read: wide slices, and chunks just tall enough to
/// pay for a slice's coefficients.
inline RowTiles tiles_for_elements(const Layout& layout, const BnGroups& groups) {
  return make_tiles(layout, groups, {.lanes = kMostElementLanes, .rows_of_thread = 16});
}

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
    load_floats<T>(values[vector] + threadIdx.x * kPackSize<T>, own);
  }
};

}  // namespace simclr::cuda
