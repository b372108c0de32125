#pragma once
// Gaussian blur of a tile, separable, with reflected edges, and the way out to the view. Rows pass
// through a ring in shared memory between the horizontal pass and the vertical one. A thread sums
// several adjacent outputs, so that each value is read once for all of them.

#include <cuda_runtime.h>

#include <cstdint>

#include "render_resample.cuh"
#include "render_tile.cuh"

namespace simclr::cuda {

static_assert(kBlurOutputs == 4, "sums, weights and rows are read as vectors of four");

/// Weight of distance d at [kBlurOutputs - 1 + radius + d], zeros around; zeros in `plain`, because
/// what is read beyond its columns must be finite.
__device__ inline void prepare_blur(const Tile& tile, int radius, float sigma) {
  float sum = 1.0F;
  for (int i = 1; i <= radius; ++i) sum += 2.0F * gaussian(i, sigma);
  float* weights = tile.memory + tile.at.blur_weight;
  const int count = ceil_div(2 * radius + kBlurOutputs, 4) * 4 + kBlurOutputs;
  for (int k = static_cast<int>(threadIdx.x); k < count; k += kRenderThreads) {
    const int distance = k - (kBlurOutputs - 1) - radius;
    const bool inside = -radius <= distance && distance <= radius;
    weights[k] = inside ? gaussian(distance, sigma) / sum : 0.0F;
  }
  for (int i = tile.at.plain + static_cast<int>(threadIdx.x); i < tile.at.ring;
       i += kRenderThreads) {
    tile.memory[i] = 0;
  }
}

/// The lane's column of a unit into `plain`, which begins `radius` columns before those of the tile
/// and ends so many after them, and into the view's mirrored margins.
__device__ __forceinline__ void store_plain(const Tile& tile, const Unit& unit, int radius,
                                            const Pixels& p) {
  const int side = tile.plan.side;
  const int begin = tile.left - radius;
  const int end = tile.left + tile.width + radius;
  const int x = tile.first + unit.begin + lane_of_warp();
  float4* group =
      tile.as<float4>(tile.at.plain + unit.row % kRowsAtOnce / kGroupRows * tile.at.plain_pitch);
  const Rgb<float>* row = p.row;
  const auto store = [&](int column) {
    float4* to = group + TileMemory::plain_vector(column - begin);
    to[0] = {row[0].r, row[1].r, row[2].r, row[3].r};
    to[1] = {row[0].g, row[1].g, row[2].g, row[3].g};
    to[2] = {row[0].b, row[1].b, row[2].b, row[3].b};
  };
  store(x);
  if (x > 0 && -x >= begin) store(-x);
  const int mirrored = 2 * (side - 1) - x;
  if (x < side - 1 && mirrored < end) store(mirrored);
}

/// The ring's row where `position`, less than its length away, comes to lie.
__device__ __forceinline__ int around(const Tile& tile, int position) {
  const int rows = tile.at.ring_rows;
  return position < 0 ? position + rows : position < rows ? position : position - rows;
}

/// Horizontal pass over the kRowsAtOnce rows from y on, from `plain` into the ring, where row y
/// comes to lie at ring_y: a thread sums two adjacent pixels of kGroupRows rows.
__device__ inline void blur_rows(const Tile& tile, int y, int ring_y, int radius) {
  const auto* weights = tile.as<float2>(tile.at.blur_weight);
  const int pairs = ceil_div(tile.width, 2);
  const int rows = tile.plan.side - y < kRowsAtOnce ? tile.plan.side - y : kRowsAtOnce;
  for (Turn turn(pairs, static_cast<int>(threadIdx.x), kRenderThreads);
       turn.group * kGroupRows < rows; turn.next()) {
    const int group = turn.group;
    const int pair = turn.item;
    const float4* from = tile.as<float4>(tile.at.plain + group * tile.at.plain_pitch) +
                         TileMemory::plain_vector(2 * pair);
    float4 left[3] = {};
    float4 right[3] = {};
    float2 weight = weights[1];  // the second one is that of the first column
#pragma unroll 1
    for (int t = 0; t <= radius; ++t, from += TileMemory::plain_vector(2)) {
      const float2 next = weights[t + 2];
#pragma unroll
      for (int c = 0; c < 3; ++c) {
        add_scaled(left[c], weight.y, from[c]);
        add_scaled(right[c], weight.x, from[c]);
        add_scaled(left[c], next.x, from[c + 3]);
        add_scaled(right[c], weight.y, from[c + 3]);
      }
      weight = next;
    }
    int ring_row = around(tile, ring_y + group * kGroupRows);
#pragma unroll
    for (int i = 0; i < kGroupRows; ++i) {
      const auto of_row = [&](const float4& rows_of) {
        return i == 0 ? rows_of.x : i == 1 ? rows_of.y : i == 2 ? rows_of.z : rows_of.w;
      };
      if (group * kGroupRows + i < rows) {
        auto* to = tile.as<float2>(tile.at.ring + ring_row * tile.at.ring_pitch + 6 * pair);
        to[0] = {of_row(left[0]), of_row(left[1])};
        to[1] = {of_row(left[2]), of_row(right[0])};
        to[2] = {of_row(right[1]), of_row(right[2])};
      }
      ring_row = around(tile, ring_row + 1);
    }
  }
}

/// Which rows leave the ring once `made` rows of the view are in it: `groups` groups of
/// kBlurOutputs from row `next` on; fewer at the view's end.
struct RowsOut {
  int next, groups;

  __device__ RowsOut(int next_row, int made, int side, int radius) : next(next_row) {
    const int ready = made == side ? side - next + kBlurOutputs - 1 : made - radius - next;
    groups = ready > 0 ? ready / kBlurOutputs : 0;
  }
};

/// Where rows next - radius, next - radius + 1, ... lie in the ring, mirrored at the view's edges.
/// Row y lies at ring_y.
__device__ inline void prepare_ring_rows(const Tile& tile, const RowsOut& rows, int made, int y,
                                         int ring_y, int radius) {
  auto* offsets = tile.as<std::int32_t>(tile.at.ring_row);
  const int count = ceil_div(rows.groups * kBlurOutputs + 2 * radius, 4) * 4;
  for (int k = static_cast<int>(threadIdx.x); k < count; k += kRenderThreads) {
    const int row = reflect_index(rows.next - radius + k, tile.plan.side);
    const int position = ring_y + (row < made ? row : made - 1) - y;
    offsets[k] = around(tile, position) * tile.at.ring_pitch;
  }
}

/// sums[i] = sum over d of weight(d) * row(i + radius + d), rows numbered from 0 and given by their
/// offsets from `ring`, of four adjacent values each. All that is read must be finite.
__device__ __forceinline__ void blur_columns(const float4* weights, const int4* offsets, int radius,
                                             const float* ring, float4 (&sums)[kBlurOutputs]) {
  float4 low = weights[0];
#pragma unroll 1
  for (int t = 0; t < 2 * radius + kBlurOutputs; t += 4) {
    const float4 high = weights[t / 4 + 1];
    const int4 at = offsets[t / 4];
    const float w[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
    const int row[4] = {at.x, at.y, at.z, at.w};
#pragma unroll
    for (int u = 0; u < 4; ++u) {
      const float4 values = *reinterpret_cast<const float4*>(ring + row[u]);
#pragma unroll
      for (int i = 0; i < kBlurOutputs; ++i) add_scaled(sums[i], w[u - i + 3], values);
    }
    low = high;
  }
}

/// Vertical pass from the ring to the view, `out`.
__device__ inline void write_rows(const Tile& tile, const RowsOut& rows, int radius, float* out) {
  const int side = tile.plan.side;
  const int floats = 3 * tile.width;
  const int quads = ceil_div(floats, 4);
  for (Turn turn(quads, static_cast<int>(threadIdx.x), kRenderThreads); turn.group < rows.groups;
       turn.next()) {
    const int group = turn.group;
    const int j = turn.item * 4;
    float4 sums[kBlurOutputs] = {};
    blur_columns(tile.as<float4>(tile.at.blur_weight), tile.as<int4>(tile.at.ring_row) + group,
                 radius, tile.memory + tile.at.ring + j, sums);
    const int y = rows.next + group * kBlurOutputs;
    float* to = out + (std::int64_t{y} * side + tile.left) * 3 + j;
#pragma unroll
    for (int i = 0; i < kBlurOutputs; ++i, to += 3 * side) {
      if (y + i >= side) break;
      if (side % 4 == 0) {  // rows are whole vectors
        *reinterpret_cast<float4*>(to) = sums[i];
      } else {
        const float values[4] = {sums[i].x, sums[i].y, sums[i].z, sums[i].w};
#pragma unroll
        for (int u = 0; u < 4; ++u) {
          if (j + u < floats) to[u] = values[u];
        }
      }
    }
  }
}

}  // namespace simclr::cuda
