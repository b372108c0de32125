#pragma once
// How the rows and channels of an activation are divided among blocks, for kernels that treat the
// rows of a group alike and each channel by itself (batch normalization).

#include <cstdint>

namespace simclr::cuda {

inline constexpr int kMostTileThreads = 256;
/// Widest slices, in lanes of 16 bytes, of kernels that sum (one line of memory) and of those that
/// write elements.
inline constexpr int kMostSumLanes = 8;
inline constexpr int kMostElementLanes = 32;
/// Rows that one thread adds up in f32; batch_norm_sums.cuh has what this means for precision.
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

}  // namespace simclr::cuda
