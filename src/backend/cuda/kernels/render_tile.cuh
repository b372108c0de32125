#pragma once
// One block's part of a view: where it lies, its shared memory, and its rows from stored pixels to
// resampled ones. Resampling is separable: a warp makes a row, first vertically from bytes into its
// window of shared memory, then horizontally.

#include <cuda_runtime.h>

#include <cstdint>

#include "../launch.hpp"
#include "reduce.cuh"
#include "render_views.hpp"
#include "simclr/augment/pixels.hpp"

namespace simclr::cuda {

inline constexpr int kRenderThreads = kRowsAtOnce * kWarp;

/// Offsets into a block's shared memory, in words of 4 bytes. What luma needs comes first.
struct TileMemory {
  int column_start;   ///< (columns): first source column of an output, from the image's left
  int column_weight;  ///< (column_taps, columns)
  int row_weight;     ///< (kRowsAtOnce, row_taps)
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
    window = row_weight + round_up(kRowsAtOnce * plan.row_taps);
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

/// The taps of row y, by one warp; returns its first source row. Ends with a warp barrier.
__device__ inline int prepare_row(const Tile& tile, int y, bool bicubic, float* weights) {
  const TaskAxis& axis = tile.task.rows;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  if (!tile.task.resample) return axis.axis.first + y;
  const int taps = axis.taps;
  const float center = center_of(axis, axis.axis.first + y);
  const int start = first_source_of(axis, center);
  float sum = 0;
  for (int t = lane; t < taps; t += kWarp) {
    const float weight = weight_of(axis, bicubic, start + t, center);
    weights[t] = weight;
    sum += weight;
  }
  const float norm = (1.0F / 255.0F) / warp_sum(sum);
  for (int t = lane; t < taps; t += kWarp) weights[t] *= norm;
  __syncwarp();
  return start;
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

/// Row y of the source window, vertically resampled, values in [0, 1] (bicubic overshoots).
__device__ inline void resample_vertically(const Tile& tile, int first_source, const float* weights,
                                           float* window) {
  const ViewTask& task = tile.task;
  const std::uint8_t* source = task.pixels + std::int64_t{first_source} * task.row_bytes +
                               std::int64_t{3} * tile.window_first;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int taps = task.rows.taps;
  for (int word = lane; word < tile.window_words; word += kWarp) {
    const std::uint8_t* from = source + std::int64_t{4} * word;
    float4 sum = {0, 0, 0, 0};
    if (task.resample) {
#pragma unroll 4
      for (int t = 0; t < taps; ++t, from += task.row_bytes) {
        const unsigned bytes = load_bytes(from);
        const float weight = weights[t];
        sum.x += weight * byte_as_float<0>(bytes);
        sum.y += weight * byte_as_float<1>(bytes);
        sum.z += weight * byte_as_float<2>(bytes);
        sum.w += weight * byte_as_float<3>(bytes);
      }
    } else {
      const unsigned bytes = load_bytes(from);
      sum = {byte_as_float<0>(bytes) / 255.0F, byte_as_float<1>(bytes) / 255.0F,
             byte_as_float<2>(bytes) / 255.0F, byte_as_float<3>(bytes) / 255.0F};
    }
    reinterpret_cast<float4*>(window)[word] = sum;
  }
}

/// Row y of the tile: calls use(k, pixel) for column tile.first + k, pixel clamped to [0, 1]. By
/// one warp, which works alone: the kernels' barriers are not its concern.
template <class Use>
__device__ __forceinline__ void make_row(const Tile& tile, int y, bool bicubic, Use&& use) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  float* row_weights = tile.memory + tile.at.row_weight + warp * tile.plan.row_taps;
  float* window = tile.memory + tile.at.window + warp * tile.at.window_pitch;
  const int first_source = prepare_row(tile, y, bicubic, row_weights);
  resample_vertically(tile, first_source, row_weights, window);
  __syncwarp();

  const int columns = tile.end - tile.first;
  const int taps = tile.task.columns.taps;
  const std::int32_t* starts = tile.integers(tile.at.column_start);
  const float* weights = tile.memory + tile.at.column_weight;
  for (int k = lane; k < columns; k += kWarp) {
    const float* source = window + 3 * (starts[k] - tile.window_first);
    const float* weight = weights + k;
    Rgb<float> sum = {0, 0, 0};
#pragma unroll 4
    for (int t = 0; t < taps; ++t, source += 3, weight += columns) {
      sum.r += *weight * source[0];
      sum.g += *weight * source[1];
      sum.b += *weight * source[2];
    }
    use(k, clamp01(sum));
  }
  __syncwarp();  // before the next row's window
}

}  // namespace simclr::cuda
