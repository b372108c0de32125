#pragma once
// One block's part of a view: where it lies, its shared memory, and its rows from stored pixels to
// resampled ones. Resampling is separable: a warp makes two neighbouring rows, which share most of
// their source rows, first vertically from bytes into its window of shared memory, then
// horizontally.

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
  int row_weight;     ///< (kRenderWarps, row_span, 2): of both rows of a warp
  int window;         ///< (kRowsAtOnce, window_pitch): source columns, vertically resampled
  int plain;          ///< (kRowsAtOnce, plain_pitch): rows before the blur, with margins
  int ring;         ///< (ring_rows, ring_pitch): finished rows, or those between the blur's passes
  int blur_weight;  ///< (blur_span + kBlurOutputs): padded with zeros on both sides
  int ring_row;     ///< offsets in `ring` of the rows that the blur reads next
  int words;
  int window_pitch, plain_pitch, ring_rows, ring_pitch;

  __host__ __device__ explicit TileMemory(const TilePlan& plan) {
    // Odd pitches: lanes of different rows fall into different banks.
    window_pitch = round_up(3 * plan.source_columns);
    plain_pitch = 3 * plan.columns() | 1;
    ring_rows = 2 * plan.radius + kRowsAtOnce + kBlurOutputs - 1;
    ring_pitch = 3 * plan.width | 1;
    const int blur_span = round_up(2 * plan.radius + kBlurOutputs);
    const int most_rows_left = plan.radius + kRowsAtOnce + 2 * kBlurOutputs;
    column_start = 0;
    column_weight = column_start + round_up(plan.columns());
    row_weight = column_weight + round_up(plan.column_taps * plan.columns());
    window = row_weight + round_up(kRenderWarps * plan.row_span * 2);
    plain = window + kRowsAtOnce * window_pitch;
    // The last thread of a row reads up to two pixels too many.
    ring = plain + (plan.radius > 0 ? round_up(kRowsAtOnce * plain_pitch + 6) : 0);
    blur_weight = ring + round_up(ring_rows * ring_pitch);
    ring_row = blur_weight + blur_span + kBlurOutputs;
    words = ring_row + round_up(most_rows_left) + blur_span;
  }

 private:
  /// To whole 16-byte vectors.
  __host__ __device__ static int round_up(int words) { return (words + 3) / 4 * 4; }
};

/// What every thread of a block knows of its tile.
struct Tile {
  const ViewTask& task;
  const TilePlan& plan;
  const TileMemory& at;
  float* memory;
  int first = 0, end = 0;  ///< columns of the view that are made here
  int window_first = 0;    ///< first source column of the window
  int window_words = 0;    ///< words of source bytes, from there on

  [[nodiscard]] __device__ std::int32_t* integers(int offset) const {
    return reinterpret_cast<std::int32_t*>(memory + offset);
  }
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

/// The taps of the tile's columns. All threads call it; ends with a barrier.
__device__ inline void prepare_columns(Tile& tile, bool bicubic) {
  const TaskAxis axis = tile.task.columns;
  const int taps = axis.taps;
  const int columns = tile.end - tile.first;
  std::int32_t* starts = tile.integers(tile.at.column_start);
  float* weights = tile.memory + tile.at.column_weight;
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
  __syncthreads();
  const int one = starts[0];
  const int other = starts[columns - 1];
  tile.window_first = one < other ? one : other;
  const int window_end = (one < other ? other : one) + taps;
  tile.window_words = ceil_div(3 * (window_end - tile.window_first), 4);
}

/// The source rows of two neighbouring rows: [first, first + count).
struct SourceRows {
  int first, count;
};

/// The taps of rows y and y + 1 (the view's last row again, where it has no more), by one warp.
/// weights: (count), one of each row. Ends with a warp barrier.
__device__ inline SourceRows prepare_rows(const Tile& tile, int y, bool bicubic, float2* weights) {
  const TaskAxis axis = tile.task.rows;
  const bool resample = tile.task.resample;
  const int output = axis.axis.first + y;
  const int next_output = y + 1 < tile.plan.side ? output + 1 : output;
  const float center = center_of(axis, output);
  const float next_center = center_of(axis, next_output);
  const int first = resample ? first_source_of(axis, center) : output;
  const int shift = (resample ? first_source_of(axis, next_center) : next_output) - first;
  const int count = shift + axis.taps;
  const auto weight = [&](int t, float at) {
    return resample ? weight_of(axis, bicubic, first + t, at) : 1.0F;
  };
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  float sum = 0;
  float next_sum = 0;
  for (int t = lane; t < count; t += kWarp) {
    const float2 pair = {t < axis.taps ? weight(t, center) : 0.0F,
                         t >= shift ? weight(t, next_center) : 0.0F};
    weights[t] = pair;
    sum += pair.x;
    next_sum += pair.y;
  }
  if (resample) {
    const float norm = (1.0F / 255.0F) / warp_sum(sum);
    const float next_norm = (1.0F / 255.0F) / warp_sum(next_sum);
    for (int t = lane; t < count; t += kWarp) {
      weights[t] = {weights[t].x * norm, weights[t].y * next_norm};
    }
  }
  __syncwarp();
  return {.first = first, .count = count};
}

/// Four bytes at any address, of which the aligned words around them may be read.
__device__ __forceinline__ unsigned load_bytes(const std::uint8_t* from) {
  const auto address = reinterpret_cast<std::uintptr_t>(from);
  const auto* words = reinterpret_cast<const unsigned*>(address & ~std::uintptr_t{3});
  // The shift is taken modulo 32: eight times the address' two lowest bits.
  return __funnelshift_r(__ldg(words), __ldg(words + 1), static_cast<unsigned>(address) * 8);
}
/// Byte kIndex as a float: the low byte of 2^23 + byte, less 2^23.
template <int kIndex>
__device__ __forceinline__ float byte_as_float(unsigned bytes) {
  constexpr unsigned kTwoTo23 = 0x4B000000U;
  return __uint_as_float(__byte_perm(bytes, kTwoTo23, 0x7440U + kIndex)) - 8388608.0F;
}

__device__ __forceinline__ void add_weighted(float4& sum, float weight, const float4& values) {
  sum.x += weight * values.x;
  sum.y += weight * values.y;
  sum.z += weight * values.z;
  sum.w += weight * values.w;
}
__device__ __forceinline__ void divide(float4& values, float by) {
  values = {values.x / by, values.y / by, values.z / by, values.w / by};
}

/// Two rows of the window, values in [0, 1] (bicubic overshoots), one window_pitch apart.
__device__ inline void resample_vertically(const Tile& tile, const SourceRows& rows,
                                           const float2* weights, float* window) {
  const ViewTask& task = tile.task;
  const std::int32_t row_bytes = task.row_bytes;
  const std::uint8_t* source =
      task.pixels + std::int64_t{rows.first} * row_bytes + std::int64_t{3} * tile.window_first;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int word = lane; word < tile.window_words; word += kWarp) {
    const std::uint8_t* from = source + std::int64_t{4} * word;
    float4 sum = {0, 0, 0, 0};
    float4 next_sum = {0, 0, 0, 0};
#pragma unroll 4
    for (int t = 0; t < rows.count; ++t, from += row_bytes) {
      const unsigned bytes = load_bytes(from);
      const float4 values = {byte_as_float<0>(bytes), byte_as_float<1>(bytes),
                             byte_as_float<2>(bytes), byte_as_float<3>(bytes)};
      const float2 weight = weights[t];
      add_weighted(sum, weight.x, values);
      add_weighted(next_sum, weight.y, values);
    }
    if (!task.resample) {  // the bytes themselves, to be divided as the host does
      divide(sum, 255.0F);
      divide(next_sum, 255.0F);
    }
    *reinterpret_cast<float4*>(window + 4 * word) = sum;
    *reinterpret_cast<float4*>(window + tile.at.window_pitch + 4 * word) = next_sum;
  }
}

/// One above the other.
struct PixelPair {
  Rgb<float> upper, lower;
};

/// Rows y and y + 1 of the tile: calls use(k, pixels) for column tile.first + k, pixels clamped to
/// [0, 1]; beyond the view's last row, `lower` is that row's again. By one warp, which works alone:
/// the block's barriers are not its concern.
template <class Use>
__device__ __forceinline__ void make_rows(const Tile& tile, int y, bool bicubic, Use&& use) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  auto* row_weights =
      reinterpret_cast<float2*>(tile.memory + tile.at.row_weight) + warp * tile.plan.row_span;
  const int pitch = tile.at.window_pitch;
  float* window = tile.memory + tile.at.window + 2 * warp * pitch;
  const SourceRows rows = prepare_rows(tile, y, bicubic, row_weights);
  resample_vertically(tile, rows, row_weights, window);
  __syncwarp();

  const int columns = tile.end - tile.first;
  const int taps = tile.task.columns.taps;
  const std::int32_t* starts = tile.integers(tile.at.column_start);
  const float* weights = tile.memory + tile.at.column_weight;
  for (int k = lane; k < columns; k += kWarp) {
    const float* upper = window + 3 * (starts[k] - tile.window_first);
    const float* lower = upper + pitch;
    const float* weight = weights + k;
    PixelPair sum = {{0, 0, 0}, {0, 0, 0}};
#pragma unroll 4
    for (int t = 0; t < taps; ++t, upper += 3, lower += 3, weight += columns) {
      const float w = *weight;
      sum.upper.r += w * upper[0];
      sum.upper.g += w * upper[1];
      sum.upper.b += w * upper[2];
      sum.lower.r += w * lower[0];
      sum.lower.g += w * lower[1];
      sum.lower.b += w * lower[2];
    }
    use(k, PixelPair{clamp01(sum.upper), clamp01(sum.lower)});
  }
  __syncwarp();  // before the next rows' window
}

}  // namespace simclr::cuda
