#pragma once
// One block's part of a view: where it lies, its shared memory, and the filters of its rows and
// columns.

#include <cuda_runtime.h>

#include <cstdint>

#include "../launch.hpp"
#include "reduce.cuh"
#include "render_memory.hpp"
#include "render_views.hpp"
#include "shared.cuh"
#include "simclr/augment/pixels.hpp"

namespace simclr::cuda {

inline constexpr int kRenderThreads = kRenderWarps * kWarp;

/// Rounded down; exact for dividends as small as a count of threads.
__device__ __forceinline__ int small_quotient(int dividend, int divisor) {
  return static_cast<int>((static_cast<float>(dividend) + 0.5F) *
                          reciprocal(static_cast<float>(divisor)));
}

/// Items (group, item) with `count` items a group, shared out to workers: in order, each worker
/// takes every workers-th.
struct Turn {
  int count, group, item, group_step, item_step;

  __device__ Turn(int items_of_group, int worker, int workers)
      : count(items_of_group),
        group(small_quotient(worker, count)),
        item(worker - group * count),
        group_step(small_quotient(workers, count)),
        item_step(workers - group_step * count) {}
  __device__ __forceinline__ void next() {
    const bool wraps = item + item_step >= count;
    group += group_step + (wraps ? 1 : 0);
    item += item_step - (wraps ? count : 0);
  }
};

/// What every thread of a block knows of its tile.
struct Tile {
  const ViewTask& task;
  const TilePlan& plan;
  const TileMemory& at;
  float* memory;
  int left = 0, width = 0;  ///< columns of the view that become part of it here
  int first = 0, end = 0;   ///< columns that are made here, the margins of the blur included
  int top = 0, bottom = 0;  ///< rows
  int chunk = 0;            ///< columns that a warp makes at once

  template <class T>
  [[nodiscard]] __device__ T* as(int offset) const {
    return reinterpret_cast<T*>(memory + offset);
  }
};

/// The block's tile of a view that is blurred with this radius.
__device__ inline Tile tile_of_block(const ViewTask& task, const TilePlan& plan,
                                     const TileMemory& at, int radius) {
  Tile tile{.task = task, .plan = plan, .at = at, .memory = dynamic_shared<float>()};
  const int side = plan.side;
  const int index = static_cast<int>(blockIdx.x) % plan.tiles;
  const auto clipped = [&](int at_most) { return at_most < side ? at_most : side; };
  if (plan.by_rows && radius == 0) {
    const int rows = ceil_div(ceil_div(side, plan.tiles), kGroupRows) * kGroupRows;
    tile.width = tile.end = side;
    tile.top = clipped(index * rows);
    tile.bottom = clipped(tile.top + rows);
  } else {
    tile.left = index * plan.width;
    tile.width = clipped(tile.left + plan.width) - tile.left;
    tile.first = tile.left > radius ? tile.left - radius : 0;
    tile.end = clipped(tile.left + tile.width + radius);
    tile.bottom = side;
  }
  return tile;
}

/// The source rows of kGroupRows neighbouring rows.
struct SourceRows {
  std::int64_t first_byte;  ///< from the first pixel of the source window on
  int count;
};

// Weights as PyTorch's antialiased interpolation has them (see resample.hpp of the CPU's kernels),
// before they are normalised.

__device__ __forceinline__ float center_of(const TaskAxis& axis, int output) {
  return axis.scale * (static_cast<float>(output) + 0.5F);
}
__device__ __forceinline__ int first_source_of(const TaskAxis& axis, float center) {
  const int whole = static_cast<int>(larger(center - axis.support + 0.5F, 0.0F));
  const int last = axis.axis.in - axis.taps;
  return whole < last ? whole : last;
}
__device__ __forceinline__ float weight_of(const TaskAxis& axis, bool bicubic, int source,
                                           float center) {
  const float distance = (static_cast<float>(source) - center + 0.5F) * axis.inverse_stretch;
  return bicubic ? cubic_filter(distance) : triangle_filter(distance);
}

/// A warp makes at once as many of `columns` columns as its window serves, in chunks of about one
/// size.
__device__ inline int chunk_of(const TaskAxis& axis, int window, int columns) {
  const int most = outputs_of(axis, window);
  return ceil_div(columns, ceil_div(columns, most < kWarp ? most : kWarp));
}

/// The taps of the tile's columns. All threads call it; a barrier must follow.
__device__ inline void prepare_columns(Tile& tile, bool bicubic) {
  const TaskAxis axis = tile.task.columns;
  const int taps = axis.taps;
  const int columns = tile.end - tile.first;
  tile.chunk = chunk_of(axis, tile.plan.window, columns);
  auto* starts = tile.as<std::int32_t>(tile.at.column_start);
  auto* weights = tile.as<float>(tile.at.column_weight);
  for (int k = static_cast<int>(threadIdx.x); k < columns; k += kRenderThreads) {
    const int x = tile.first + k;
    const int output = axis.axis.first + (axis.axis.mirrored ? axis.axis.count - 1 - x : x);
    if (!tile.task.resample) {
      starts[k] = output;
      weights[k] = 1.0F;
      continue;
    }
    const float center = center_of(axis, output);
    const int start = first_source_of(axis, center);
    starts[k] = start;
    float sum = 0;
    for (int t = 0; t < taps; ++t) {
      const float weight = weight_of(axis, bicubic, start + t, center);
      weights[t * columns + k] = weight;
      sum += weight;
    }
    const float norm = 1.0F / sum;
    for (int t = 0; t < taps; ++t) weights[t * columns + k] *= norm;
  }
}

/// The taps of kFilterRows rows from row y on; those past the view's last row are its again. All
/// threads call it, some neighbours for each row; begins and ends with a barrier.
__device__ inline void prepare_rows(const Tile& tile, int y, bool bicubic) {
  constexpr int kNeighbours = kRenderThreads / kFilterRows;
  const TaskAxis axis = tile.task.rows;
  const bool resample = tile.task.resample;
  const int row = static_cast<int>(threadIdx.x) / kNeighbours;
  const int group = row / kGroupRows;
  const auto output_of = [&](int of_row) {
    return axis.axis.first + (y + of_row < tile.plan.side ? y + of_row : tile.plan.side - 1);
  };
  const auto first_of = [&](int output) {
    return resample ? first_source_of(axis, center_of(axis, output)) : output;
  };
  const float center = center_of(axis, output_of(row));
  const int first = first_of(output_of(group * kGroupRows));
  const int shift = first_of(output_of(row)) - first;
  const int count = first_of(output_of(group * kGroupRows + kGroupRows - 1)) - first + axis.taps;
  const int part = static_cast<int>(threadIdx.x) % kNeighbours;
  float* weights =
      tile.memory + tile.at.row_weight + group * tile.plan.row_span * kGroupRows + row % kGroupRows;
  __syncthreads();  // the rows before have been made
  float sum = 0;
  for (int t = part; t < count; t += kNeighbours) {
    float weight = 0;
    if (shift <= t && t < shift + axis.taps) {
      weight = resample ? weight_of(axis, bicubic, first + t, center) : 1.0F;
    }
    weights[t * kGroupRows] = weight;
    sum += weight;
  }
#pragma unroll
  for (int distance = kNeighbours / 2; distance > 0; distance /= 2) {
    sum += __shfl_xor_sync(kAllLanes, sum, distance);
  }
  if (resample) {
    const float norm = (1.0F / 255.0F) / sum;
    for (int t = part; t < count; t += kNeighbours) weights[t * kGroupRows] *= norm;
  }
  if (row % kGroupRows == 0 && part == 0) {
    tile.as<SourceRows>(tile.at.row_source)[group] = {
        .first_byte = std::int64_t{first} * tile.task.row_bytes, .count = count};
  }
  __syncthreads();
}

}  // namespace simclr::cuda
