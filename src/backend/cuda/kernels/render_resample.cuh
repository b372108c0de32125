#pragma once
// Pixels of a view from stored ones. Resampling is separable: for a unit of four rows and up to 32
// columns, a warp resamples vertically what these need of the stored image, from bytes into its
// window of shared memory, a lane a source column; then horizontally, a lane a column of the view.
// In the window, the four rows of a value are one vector: an access serves all of them.

#include <cuda_runtime.h>

#include <cstdint>

#include "render_tile.cuh"
#include "simclr/augment/pixels.hpp"

namespace simclr::cuda {

static_assert(kGroupRows == 4, "the rows of a value are a float4");

/// A column of kGroupRows rows.
struct Pixels {
  Rgb<float> row[kGroupRows];
};

/// What a warp makes at once: kGroupRows rows from `row` on, whose filters are those of a group of
/// rows, and `columns` columns from column tile.first + begin on.
struct Unit {
  int row, filter_group;
  int begin, columns;
};

/// Calls make(unit) for the warp's units of rows [y, end). y: a multiple of kGroupRows; the filters
/// are those of prepare_rows(tile, filters_from, ...).
template <class Make>
__device__ __forceinline__ void for_units(const Tile& tile, int filters_from, int y, int end,
                                          Make&& make) {
  const int columns = tile.end - tile.first;
  Turn turn(ceil_div(columns, tile.chunk), static_cast<int>(threadIdx.x) / kWarp, kRenderWarps);
  for (; y + turn.group * kGroupRows < end; turn.next()) {
    const int row = y + turn.group * kGroupRows;
    const int begin = turn.item * tile.chunk;
    const int left = columns - begin;
    make(Unit{.row = row,
              .filter_group = (y - filters_from) / kGroupRows + turn.group,
              .begin = begin,
              .columns = left < tile.chunk ? left : tile.chunk});
  }
}

__device__ __forceinline__ int lane_of_warp() { return static_cast<int>(threadIdx.x) % kWarp; }
/// The warp's part of shared memory.
__device__ __forceinline__ float* window_of_warp(const Tile& tile) {
  return tile.memory + tile.at.window +
         static_cast<int>(threadIdx.x) / kWarp * tile.at.window_pitch;
}

__device__ __forceinline__ void add_scaled(float4& sum, float factor, const float4& values) {
  sum.x += factor * values.x;
  sum.y += factor * values.y;
  sum.z += factor * values.z;
  sum.w += factor * values.w;
}
/// Bytes as the host has them: float(byte) / 255. The quotient's error, added, makes it exact.
__device__ __forceinline__ float divided_by_255(float byte) {
  constexpr float kInverse = 1.0F / 255.0F;
  const float quotient = byte * kInverse;
  return __fmaf_rn(__fmaf_rn(-255.0F, quotient, byte), kInverse, quotient);
}
__device__ __forceinline__ float4 divided_by_255(const float4& bytes) {
  return {divided_by_255(bytes.x), divided_by_255(bytes.y), divided_by_255(bytes.z),
          divided_by_255(bytes.w)};
}
__device__ __forceinline__ Rgb<std::uint8_t> load_source(const std::uint8_t* from) {
  return {__ldg(from), __ldg(from + 1), __ldg(from + 2)};
}
__device__ __forceinline__ void add_source(Rgb<float4>& sum, const Rgb<std::uint8_t>& source,
                                           const float4& weights) {
  add_scaled(sum.r, static_cast<float>(std::uint32_t{source.r}), weights);
  add_scaled(sum.g, static_cast<float>(std::uint32_t{source.g}), weights);
  add_scaled(sum.b, static_cast<float>(std::uint32_t{source.b}), weights);
}

/// kRows rows of a source column, by their weights. Their loads are under way at once.
template <int kRows>
__device__ __forceinline__ Rgb<float4> sum_sources(const std::uint8_t* from, std::int32_t row_bytes,
                                                   const float4* weights) {
  Rgb<std::uint8_t> source[kRows];
#pragma unroll
  for (int t = 0; t < kRows; ++t, from += row_bytes) source[t] = load_source(from);
  Rgb<float4> sum = {{0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}};
#pragma unroll
  for (int t = 0; t < kRows; ++t) add_source(sum, source[t], weights[t]);
  return sum;
}

__device__ __forceinline__ Rgb<float4> sum_sources(const std::uint8_t* from, std::int32_t row_bytes,
                                                   const float4* weights, int rows) {
  switch (rows) {  // what enlarging takes, and shrinking a little
    case 4:
      return sum_sources<4>(from, row_bytes, weights);
    case 5:
      return sum_sources<5>(from, row_bytes, weights);
    case 6:
      return sum_sources<6>(from, row_bytes, weights);
    case 7:
      return sum_sources<7>(from, row_bytes, weights);
    case 8:
      return sum_sources<8>(from, row_bytes, weights);
    default:
      break;
  }
  Rgb<float4> sum = {{0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}};
#pragma unroll 4
  for (int t = 0; t < rows; ++t, from += row_bytes) add_source(sum, load_source(from), weights[t]);
  return sum;
}

/// `columns` source columns from first_column on, values in [0, 1] (bicubic overshoots). weights:
/// (rows.count), of each of the unit's rows.
__device__ __forceinline__ void resample_vertically(const Tile& tile, const SourceRows rows,
                                                    const float4* weights, int first_column,
                                                    int columns, Rgb<float4>* window) {
  const std::uint8_t* from = tile.task.pixels + rows.first_byte + 3 * first_column;
  for (int column = lane_of_warp(); column < columns; column += kWarp) {
    const Rgb<float4> sum =
        sum_sources(from + 3 * column, tile.task.row_bytes, weights, rows.count);
    window[column] = tile.task.resample ? sum
                                        : Rgb<float4>{divided_by_255(sum.r), divided_by_255(sum.g),
                                                      divided_by_255(sum.b)};
  }
}

/// Adds the next tap of a column to `sum`; weights lie `columns` apart.
__device__ __forceinline__ void add_tap(Rgb<float4>& sum, const Rgb<float4>*& from,
                                        const float*& weight, int columns) {
  add_scaled(sum.r, *weight, from->r);
  add_scaled(sum.g, *weight, from->g);
  add_scaled(sum.b, *weight, from->b);
  ++from;
  weight += columns;
}
__device__ __forceinline__ Pixels clamped(const Rgb<float4>& rows) {
  const auto pixel = [](float r, float g, float b) { return clamp01(Rgb<float>{r, g, b}); };
  return {{pixel(rows.r.x, rows.g.x, rows.b.x), pixel(rows.r.y, rows.g.y, rows.b.y),
           pixel(rows.r.z, rows.g.z, rows.b.z), pixel(rows.r.w, rows.g.w, rows.b.w)}};
}

/// Column k of the tile, clamped to [0, 1]. window: source columns from first_column on.
__device__ __forceinline__ Pixels resample_horizontally(const Tile& tile, int k, int first_column,
                                                        const Rgb<float4>* window) {
  constexpr int kUsualTaps = 4;
  const int columns = tile.end - tile.first;
  const int taps = tile.task.columns.taps;
  const Rgb<float4>* from = window + tile.as<std::int32_t>(tile.at.column_start)[k] - first_column;
  const float* weight = tile.memory + tile.at.column_weight + k;
  Rgb<float4> sum = {{0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}};
  if (taps == kUsualTaps) {
#pragma unroll
    for (int t = 0; t < kUsualTaps; ++t) add_tap(sum, from, weight, columns);
    return clamped(sum);
  }
#pragma unroll 4
  for (int t = 0; t < taps; ++t) add_tap(sum, from, weight, columns);
  return clamped(sum);
}

/// The lane's column of a unit, or its last one again. By one warp, which works alone: the block's
/// barriers are not its concern. A barrier of the warp must follow before the window is written.
__device__ __forceinline__ Pixels make_pixels(const Tile& tile, const Unit& unit) {
  auto* window = reinterpret_cast<Rgb<float4>*>(window_of_warp(tile));
  const auto* starts = tile.as<std::int32_t>(tile.at.column_start) + unit.begin;
  const int one = starts[0];
  const int other = starts[unit.columns - 1];
  const int first_column = one < other ? one : other;
  const int source_columns = (one < other ? other : one) + tile.task.columns.taps - first_column;
  const float4* weights =
      tile.as<float4>(tile.at.row_weight) + unit.filter_group * tile.plan.row_span;
  resample_vertically(tile, tile.as<SourceRows>(tile.at.row_source)[unit.filter_group], weights,
                      first_column, source_columns, window);
  __syncwarp();
  const int lane = lane_of_warp();
  const int column = lane < unit.columns ? lane : unit.columns - 1;
  return resample_horizontally(tile, unit.begin + column, first_column, window);
}

}  // namespace simclr::cuda
