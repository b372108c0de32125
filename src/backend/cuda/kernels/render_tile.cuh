#pragma once
// One block's part of a view: where it lies, its shared memory, and the filters of its rows and
// columns.

#include <cuda_runtime.h>

#include <cstdint>

#include "../launch.hpp"
#include "reduce.cuh"
#include "render_views.hpp"
#include "simclr/augment/pixels.hpp"

namespace simclr::cuda {

inline constexpr int kRenderThreads = kRenderWarps * kWarp;

/// Offsets into a block's shared memory, in words of 4 bytes. What luma needs comes first.
struct TileMemory {
  int column_start;   ///< (columns): first source column of an output, from the image's left
  int column_weight;  ///< (column_taps, columns)
  int row_source;     ///< (groups of rows): SourceRows
  int row_weight;     ///< (groups of rows, row_span, kGroupRows)
  int window;         ///< (kRenderWarps, window_pitch): what a warp works with
  int plain;          ///< (groups of rows, plain_pitch): rows before the blur, with margins
  int ring;           ///< (ring_rows, ring_pitch): rows between the blur's passes
  int blur_weight;    ///< (blur_span + kBlurOutputs): padded with zeros on both sides
  int ring_row;       ///< offsets in `ring` of the rows that the blur reads next
  int words;
  int window_pitch, plain_pitch, ring_rows, ring_pitch;

  __host__ __device__ explicit TileMemory(const TilePlan& plan) {
    constexpr int kGroups = kFilterRows / kGroupRows;
    window_pitch = 3 * kGroupRows * plan.window;
    plain_pitch = 4 * plain_vector(plan.columns() + 2);
    ring_rows = 2 * plan.radius + kRowsAtOnce + kBlurOutputs - 1;
    ring_pitch = 3 * plan.width;
    const int blur_span = round_up(2 * plan.radius + kBlurOutputs);
    const int most_rows_left = plan.radius + kRowsAtOnce + 2 * kBlurOutputs;
    column_start = 0;
    column_weight = column_start + round_up(plan.columns());
    row_source = column_weight + round_up(plan.column_taps * plan.columns());
    row_weight = row_source + 4 * kGroups;
    window = row_weight + kGroups * plan.row_span * kGroupRows;
    plain = window + kRenderWarps * window_pitch;
    ring = plain + (plan.radius > 0 ? kRowsAtOnce / kGroupRows * plain_pitch : 0);
    blur_weight = ring + (plan.radius > 0 ? ring_rows * ring_pitch : 0);
    ring_row = blur_weight + blur_span + kBlurOutputs;
    words = ring_row + round_up(most_rows_left) + blur_span;
  }
  /// Where a column of `plain` begins, in vectors of four rows. A vector is left free after every
  /// second column: threads that read from every second column then meet in no bank.
  __host__ __device__ static int plain_vector(int column) { return 3 * column + column / 2; }

 private:
  /// To whole 16-byte vectors.
  __host__ __device__ static int round_up(int words) { return (words + 3) / 4 * 4; }
};

/// Items (group, item) with `count` items a group, shared out to workers: in order, each worker
/// takes every workers-th. Divides once, so that going on costs nothing.
struct Turn {
  int count, group, item, group_step, item_step;

  __device__ Turn(int items_of_group, int worker, int workers)
      : count(items_of_group),
        group(worker / items_of_group),
        item(worker % items_of_group),
        group_step(workers / items_of_group),
        item_step(workers % items_of_group) {}
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
  int first = 0, end = 0;  ///< columns of the view that are made here
  int chunk = 0;           ///< of them, how many a warp makes at once

  template <class T>
  [[nodiscard]] __device__ T* as(int offset) const {
    return reinterpret_cast<T*>(memory + offset);
  }
};

/// The source rows of kGroupRows neighbouring rows.
struct SourceRows {
  std::int64_t first_byte;  ///< from the first pixel of the source window on
  int count;
};

// Neighbouring outputs' first sources lie as far apart as their centres, rounded up; the centres'
// own rounding is far below this.
inline constexpr float kRounding = 0.05F;
/// Most source samples that `outputs` neighbouring outputs are made from, and the other way round.
__host__ __device__ inline int sources_of(const TaskAxis& axis, int outputs) {
  const float distance = static_cast<float>(outputs - 1) * axis.scale;
  return static_cast<int>(distance + kRounding) + 1 + axis.taps;
}
__device__ inline int outputs_of(const TaskAxis& axis, int sources) {
  return static_cast<int>((static_cast<float>(sources - axis.taps) - kRounding) / axis.scale) + 1;
}

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
