#pragma once
// Tiles of the similarity matrix on tensor cores. A warp keeps its rows' embeddings in registers
// for the life of the block; the block streams tiles of columns' embeddings through shared memory.

#include <cuda_runtime.h>

#include <type_traits>

#include "../launch.hpp"
#include "mma.cuh"
#include "reduce.cuh"
#include "similarity.cuh"

namespace simclr::cuda {

inline constexpr int kTileWarps = 4;
inline constexpr int kTileThreads = kTileWarps * kWarp;
inline constexpr int kTileColumns = 64;
inline constexpr int kTileStages = 3;

/// Blocks of 16 rows that a warp owns. Two halve the shared memory's traffic for each product; one
/// where the gradient's sums would not fit the registers.
template <int kDepth>
inline constexpr int kRowTiles = kDepth > 128 ? 1 : 2;
template <int kDepth>
inline constexpr int kWarpRows = 16 * kRowTiles<kDepth>;
template <int kDepth>
inline constexpr int kBlockRows = kTileWarps* kWarpRows<kDepth>;

/// Bytes of a column's embedding in T = bf16 or f16.
template <int kDepth>
inline constexpr int kColumnBytes = 2 * kDepth;

/// Where 16-byte group `group` of a column's embedding lies in a tile: groups are permuted so that
/// the same group of eight columns falls into different banks.
template <int kDepth>
__device__ __forceinline__ int swizzled(int column, int group) {
  return column * kColumnBytes<kDepth> + (group ^ (column & 7)) * 16;
}

/// Addresses in a tile from which a lane loads matrices: its column's (of 16, `column`) groups
/// `group`, `group` + 2, ... of any block of 16 columns.
template <int kDepth>
class LaneAddresses {
 public:
  __device__ LaneAddresses(SharedAddress tile, int column, int group)
      : first_(tile + swizzled<kDepth>(column, group)) {}
  /// Group `group` + 2 * pair of column first_column + `column`; first_column is a multiple of 16.
  __device__ SharedAddress at(int first_column, int pair) const {
    return flip_bits(first_, pair % 4 * 32) +
           (first_column * kColumnBytes<kDepth> + pair / 4 * 128);
  }

 private:
  SharedAddress first_;
};

/// The warp's rows as A operands.
template <int kDepth>
using RowFragments = std::uint32_t[kRowTiles<kDepth>][kDepth / 16][4];

/// `row` is the warp's first among the packed embeddings.
template <int kDepth, class T>
__device__ __forceinline__ void load_rows(const T* packed, std::int64_t row,
                                          RowFragments<kDepth>& fragments) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const T* first = packed + (row + lane / 4) * kDepth + lane % 4 * 2;
#pragma unroll
  for (int tile = 0; tile < kRowTiles<kDepth>; ++tile) {
#pragma unroll
    for (int k = 0; k < kDepth / 16; ++k) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int offset = (tile * 16 + i % 2 * 8) * kDepth + k * 16 + i / 2 * 8;
        fragments[tile][k][i] = *reinterpret_cast<const std::uint32_t*>(first + offset);
      }
    }
  }
}

/// Tiles of kTileColumns columns, one after the other through kTileStages places in shared memory.
/// All threads of the block call its functions together.
template <class T, int kDepth>
class TileStream {
 public:
  static constexpr int kTileBytes = kTileColumns * kColumnBytes<kDepth>;
  /// Dynamic shared memory that the stream needs.
  static constexpr std::size_t kBytes = std::size_t{kTileBytes} * kTileStages;

  __device__ TileStream(const T* packed, ColumnRange columns)
      : packed_(packed), last_(columns.last), column_(columns.first - kTileColumns) {
#pragma unroll
    for (int i = 0; i < kTileStages - 1; ++i) fetch(columns.first + i * kTileColumns, i);
  }

  /// Goes to the next tile, if there is one; the one before it may no longer be read.
  __device__ bool next() {
    column_ += kTileColumns;
    if (column_ >= last_) return false;
    const int free = stage_;
    stage_ = stage_ + 1 == kTileStages ? 0 : stage_ + 1;
    wait_for_copies<kTileStages - 2>();
    __syncthreads();
    fetch(column_ + (kTileStages - 1) * kTileColumns, free);
    return true;
  }
  [[nodiscard]] __device__ SharedAddress tile() const {
    return shared_address(dynamic_shared<T>()) + stage_ * kTileBytes;
  }
  /// The tile's first.
  [[nodiscard]] __device__ int column() const { return column_; }

 private:
  __device__ void fetch(int column, int stage) {
    if (column < last_) {
      // A thread copies the same group of every kStep-th column. Its addresses follow from the
      // first: held one by one, they would cost the registers that the sums need.
      constexpr int kGroups = kDepth / 8;
      constexpr int kStep = kTileThreads / kGroups;
      const int thread = static_cast<int>(threadIdx.x);
      const SharedAddress to = shared_address(dynamic_shared<T>()) + stage * kTileBytes +
                               swizzled<kDepth>(thread / kGroups, thread % kGroups);
      const T* from = packed_ + std::int64_t{column} * kDepth + thread * 8;
#pragma unroll
      for (int i = 0; i < kTileColumns; i += kStep) {
        copy_async(flip_bits(to, i % 8 * 16) + i * kColumnBytes<kDepth>, from + i * kDepth);
      }
    }
    commit_copies();
  }

  const T* packed_;
  int last_;
  int column_;
  int stage_ = kTileStages - 1;
};

/// The lane's addresses in a tile of B operands whose columns are the tile's: matrices are columns
/// 0-7 at depth 0-7 and 8-15, columns 8-15 at depth 0-7 and 8-15.
template <int kDepth>
__device__ __forceinline__ LaneAddresses<kDepth> column_addresses(SharedAddress tile) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  return {tile, lane / 16 * 8 + lane % 8, lane / 8 % 2};
}

/// s = the similarities of the warp's rows with 8 * kCount columns of the tile from `column` on, as
/// D fragments.
template <class T, int kDepth, int kCount>
__device__ __forceinline__ void similarities(const RowFragments<kDepth>& rows,
                                             const LaneAddresses<kDepth>& tile, int column,
                                             float (&s)[kRowTiles<kDepth>][kCount][4]) {
  static_assert(kCount % 2 == 0);
#pragma unroll
  for (int r = 0; r < kRowTiles<kDepth>; ++r) {
#pragma unroll
    for (int n = 0; n < kCount; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) s[r][n][i] = 0;
    }
  }
#pragma unroll
  for (int k = 0; k < kDepth / 16; ++k) {
#pragma unroll
    for (int n = 0; n < kCount; n += 2) {
      std::uint32_t m[4];
      load_matrices(m, tile.at(column + n * 8, k));
      const std::uint32_t first[2] = {m[0], m[1]};
      const std::uint32_t second[2] = {m[2], m[3]};
#pragma unroll
      for (int r = 0; r < kRowTiles<kDepth>; ++r) {
        mma<T>(s[r][n], rows[r][k], first);
        mma<T>(s[r][n + 1], rows[r][k], second);
      }
    }
  }
}

template <int kDepth>
using Depth = std::integral_constant<int, kDepth>;
/// Calls f(Depth<packed_depth>{}).
template <class F>
void with_packed_depth(int packed_depth, F&& f) {
  switch (packed_depth) {
    case 64:
      return f(Depth<64>{});
    case 128:
      return f(Depth<128>{});
    case 256:
      return f(Depth<256>{});
    default:
      fail("no similarity kernel takes embeddings packed to {} elements", packed_depth);
  }
}

}  // namespace simclr::cuda
