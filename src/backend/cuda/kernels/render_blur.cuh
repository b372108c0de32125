#pragma once
// Gaussian blur of a tile, separable, with reflected edges, and the way out to the view. Rows pass
// through a ring in shared memory; what is not blurred goes the same way with radius 0. A thread
// sums kBlurOutputs adjacent outputs, so that each value is read once for all of them.

#include <cuda_runtime.h>

#include <cstdint>

#include "render_tile.cuh"

namespace simclr::cuda {

static_assert(kBlurOutputs == 4, "sums, weights and rows are read as vectors of four");

/// Weight of distance d at [kBlurOutputs - 1 + radius + d], zeros around.
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
}

/// sums[i] = sum over d of weight(d) * value(i + radius + d), values numbered from 0.
/// read(t, values) gives values t .. t + 3, t a multiple of 4; all must be finite, also those past
/// the last one needed.
template <class Read>
__device__ __forceinline__ void blur_outputs(const float* weights, int radius,
                                             float (&sums)[kBlurOutputs], Read&& read) {
  if (radius == 0) return read(0, sums);
#pragma unroll
  for (float& sum : sums) sum = 0;
  float4 low = *reinterpret_cast<const float4*>(weights);
#pragma unroll 2
  for (int t = 0; t < 2 * radius + kBlurOutputs; t += 4) {
    const float4 high = *reinterpret_cast<const float4*>(weights + t + 4);
    const float w[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
    float values[4];
    read(t, values);
#pragma unroll
    for (int u = 0; u < 4; ++u) {
#pragma unroll
      for (int i = 0; i < kBlurOutputs; ++i) sums[i] += w[u - i + 3] * values[u];
    }
    low = high;
  }
}

/// Horizontal pass over the kRowsAtOnce rows from y on in `plain`, into the ring. Lanes are four
/// rows of eight neighbours each: with an odd pitch no two of them meet in a bank.
__device__ inline void blur_rows(const Tile& tile, int y, int radius, int width) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const float* weights = tile.memory + tile.at.blur_weight;
  constexpr int kWarpColumns = 8 * kBlurOutputs;
  constexpr int kWarpRows = 4;
  constexpr int kRowGroups = kRowsAtOnce / kWarpRows;
  const int units = ceil_div(width, kWarpColumns) * kRowGroups * 3;
  for (int unit = warp; unit < units; unit += kRenderWarps) {
    const int channel = unit % 3;
    const int row = unit / 3 % kRowGroups * kWarpRows + lane / 8;
    const int x = unit / 3 / kRowGroups * kWarpColumns + lane % 8 * kBlurOutputs;
    if (x >= width || y + row >= tile.plan.side) continue;
    const float* source = tile.memory + tile.at.plain + row * tile.at.plain_pitch + 3 * x + channel;
    float sums[kBlurOutputs];
    blur_outputs(weights, radius, sums, [&](int t, float(&values)[kBlurOutputs]) {
#pragma unroll
      for (int u = 0; u < 4; ++u) values[u] = source[3 * (t + u)];
    });
    float* to = tile.memory + tile.at.ring + (y + row) % tile.at.ring_rows * tile.at.ring_pitch +
                3 * x + channel;
#pragma unroll
    for (int i = 0; i < kBlurOutputs; ++i) {
      if (x + i < width) to[3 * i] = sums[i];
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
__device__ inline void prepare_ring_rows(const Tile& tile, const RowsOut& rows, int made,
                                         int radius) {
  std::int32_t* offsets = tile.integers(tile.at.ring_row);
  const int count = ceil_div(rows.groups * kBlurOutputs + 2 * radius, 4) * 4;
  for (int k = static_cast<int>(threadIdx.x); k < count; k += kRenderThreads) {
    const int row = reflect_index(rows.next - radius + k, tile.plan.side);
    offsets[k] = (row < made ? row : made - 1) % tile.at.ring_rows * tile.at.ring_pitch;
  }
}

/// Vertical pass from the ring to the view, normalised. out: the tile's first value of row 0.
__device__ inline void write_rows(const Tile& tile, const RowsOut& rows, int radius, int width,
                                  const RenderSettings& settings, float* out) {
  const float* weights = tile.memory + tile.at.blur_weight;
  const float* ring = tile.memory + tile.at.ring;
  const std::int32_t* offsets = tile.integers(tile.at.ring_row);
  const int side = tile.plan.side;
  const int floats = 3 * width;
  int group = 0;
  for (int j = static_cast<int>(threadIdx.x);; j += kRenderThreads) {
    for (; j >= floats; j -= floats) ++group;
    if (group >= rows.groups) break;
    float sums[kBlurOutputs];
    blur_outputs(weights, radius, sums, [&](int t, float(&values)[kBlurOutputs]) {
      const int4 at = *reinterpret_cast<const int4*>(offsets + group * kBlurOutputs + t);
      values[0] = ring[at.x + j];
      values[1] = ring[at.y + j];
      values[2] = ring[at.z + j];
      values[3] = ring[at.w + j];
    });
    const int channel = j % 3;
    const float mean = channel == 0   ? settings.mean[0]
                       : channel == 1 ? settings.mean[1]
                                      : settings.mean[2];
    const float inverse_std = channel == 0   ? settings.inverse_std[0]
                              : channel == 1 ? settings.inverse_std[1]
                                             : settings.inverse_std[2];
    const int y = rows.next + group * kBlurOutputs;
#pragma unroll
    for (int i = 0; i < kBlurOutputs; ++i) {
      if (y + i < side) {
        out[std::int64_t{y + i} * 3 * side + j] = (sums[i] - mean) * inverse_std;
      }
    }
  }
}

}  // namespace simclr::cuda
