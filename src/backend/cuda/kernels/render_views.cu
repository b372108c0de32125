#include "render_views.hpp"

#include "../launch.hpp"
#include "reduce.cuh"
#include "render_blur.cuh"
#include "render_color.cuh"
#include "render_resample.cuh"
#include "render_tile.cuh"

namespace simclr::cuda {

namespace {

/// The thread's part of the sum of luma over the tile, as the ops before contrast leave it.
__device__ std::int64_t sum_luma(const Tile& tile, const ColorOps& colors, bool bicubic) {
  std::int64_t sum = 0;
  for (int y = tile.top; y < tile.bottom; y += kFilterRows) {
    prepare_rows(tile, y, bicubic);
    const int end = y + kFilterRows < tile.bottom ? y + kFilterRows : tile.bottom;
    for_units(tile, y, y, end, [&](const Unit& unit) {
      const Pixels pixels = colors.apply(colors.before_contrast, 0, make_pixels(tile, unit));
      int column = 0;
#pragma unroll
      for (int i = 0; i < kGroupRows; ++i) {
        column += unit.row + i < tile.bottom ? whole_luma(pixels.row[i]) : 0;
      }
      if (lane_of_warp() < unit.columns) sum += column;
      __syncwarp();
    });
  }
  return sum;
}

/// Block = tile of a view. sums: (views, tiles).
__global__ void __launch_bounds__(kRenderThreads, 3)
    luma_kernel(const ViewTask* __restrict__ tasks, TilePlan plan, RenderSettings settings,
                std::int64_t* __restrict__ sums) {
  const ViewTask& task = tasks[static_cast<int>(blockIdx.x) / plan.tiles];
  if (!task.parameters.jitter) return;
  const TileMemory at(plan);
  Tile tile = tile_of_block(task, plan, at, 0);
  prepare_columns(tile, settings.bicubic);
  const ColorOps colors(task.parameters, settings.additive_brightness);
  const std::int64_t sum = block_sum<kRenderThreads>(sum_luma(tile, colors, settings.bicubic));
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

/// The lane's column of a unit as the view has it, but for the blur: normalising before it or
/// behind it is the same.
struct Finish {
  const ColorOps& colors;
  const RenderSettings& settings;
  float mean_luma = 0;

  [[nodiscard]] __device__ __forceinline__ Pixels operator()(const Pixels& pixels) const {
    return adjust_all(colors.apply(colors.all, mean_luma, pixels), [&](Rgb<float> p) {
      return Rgb<float>{p.r * settings.scale[0] + settings.offset[0],
                        p.g * settings.scale[1] + settings.offset[1],
                        p.b * settings.scale[2] + settings.offset[2]};
    });
  }
};

/// Through the warp's window, so that lanes write neighbouring values. out: the view. A barrier of
/// the warp must follow before the window is written.
__device__ __forceinline__ void write_unit(const Tile& tile, const Unit& unit, const Pixels& pixels,
                                           float* out) {
  const int side = tile.plan.side;
  const int lane = lane_of_warp();
  float* staged = window_of_warp(tile);
  __syncwarp();
#pragma unroll
  for (int i = 0; i < kGroupRows; ++i) {
    *reinterpret_cast<Rgb<float>*>(staged + 3 * (i * kWarp + lane)) = pixels.row[i];
  }
  __syncwarp();
  float* to = out + (std::int64_t{unit.row} * side + tile.first + unit.begin) * 3 + lane;
#pragma unroll
  for (int i = 0; i < kGroupRows; ++i, to += 3 * side) {
    if (unit.row + i >= tile.bottom) break;
#pragma unroll
    for (int part = 0; part < 3; ++part) {
      if (part * kWarp + lane < 3 * unit.columns) to[part * kWarp] = staged[lane + part * kWarp];
    }
    staged += 3 * kWarp;
  }
}

/// From top to bottom. Without blur, warps go their ways from bytes to the view; else, of
/// kRowsAtOnce rows:
///   pixels before the blur | horizontal pass | vertical pass of what is complete, out
/// with a barrier behind the first and the second. out: the view.
__device__ void render_tile(const Tile& tile, const Finish& finish, bool bicubic, float* out) {
  const int radius = tile.task.blur_radius;
  const int step = radius > 0 ? kRowsAtOnce : kFilterRows;
  RowsOut rows(0, 0, tile.bottom, radius);
  int filters_from = tile.top;
  int ring_y = 0;  // where row y of the blur comes to lie
  for (int y = tile.top; y < tile.bottom; y += step) {
    if ((y - tile.top) % kFilterRows == 0) {
      filters_from = y;
      prepare_rows(tile, y, bicubic);
    }
    const int made = y + step < tile.bottom ? y + step : tile.bottom;
    for_units(tile, filters_from, y, made, [&](const Unit& unit) {
      const Pixels pixels = finish(make_pixels(tile, unit));
      if (radius == 0) {
        write_unit(tile, unit, pixels, out);
      } else if (lane_of_warp() < unit.columns) {
        store_plain(tile, unit, radius, pixels);
      }
      __syncwarp();
    });
    if (radius == 0) continue;
    __syncthreads();
    rows = RowsOut(rows.next + rows.groups * kBlurOutputs, made, tile.bottom, radius);
    prepare_ring_rows(tile, rows, made, y, ring_y, radius);
    blur_rows(tile, y, ring_y, radius);
    ring_y = around(tile, ring_y + step);
    __syncthreads();
    write_rows(tile, rows, radius, out);
  }
}

/// Block = tile of a view.
__global__ void __launch_bounds__(kRenderThreads, 2)
    render_kernel(const ViewTask* __restrict__ tasks, TilePlan plan, RenderSettings settings,
                  const std::int64_t* __restrict__ luma_sums, float* __restrict__ out) {
  const int view = static_cast<int>(blockIdx.x) / plan.tiles;
  const ViewTask& task = tasks[view];
  const TileMemory at(plan);
  Tile tile = tile_of_block(task, plan, at, task.blur_radius);
  if (task.blur_radius > 0) prepare_blur(tile, task.blur_radius, task.parameters.sigma);
  prepare_columns(tile, settings.bicubic);

  const ColorOps colors(task.parameters, settings.additive_brightness);
  Finish finish{.colors = colors, .settings = settings};
  if (task.parameters.jitter) {
    std::int64_t sum = 0;
    if (plan.tiles == 1) {
      sum = block_sum<kRenderThreads>(sum_luma(tile, colors, settings.bicubic));
    } else {
      for (int i = 0; i < plan.tiles; ++i) sum += luma_sums[view * plan.tiles + i];
    }
    finish.mean_luma = mean_of_luma(sum, plan.side);
  }
  render_tile(tile, finish, settings.bicubic, out + std::int64_t{view} * plan.side * plan.side * 3);
}

}  // namespace

void render_views(const ViewTask* tasks, std::int64_t views, bool jittered, const TilePlan& plan,
                  const RenderSettings& settings, std::int64_t* luma_sums, float* out,
                  cudaStream_t stream) {
  const TileMemory at(plan);
  LaunchShape shape{.grid = dim3(static_cast<unsigned>(views * plan.tiles)),
                    .block = dim3(kRenderThreads)};
  if (jittered && plan.tiles > 1) {
    shape.shared_bytes = static_cast<std::size_t>(at.plain) * sizeof(float);
    launch(luma_kernel, shape, stream, tasks, plan, settings, luma_sums);
  }
  shape.shared_bytes = static_cast<std::size_t>(at.words) * sizeof(float);
  launch(render_kernel, shape, stream, tasks, plan, settings, luma_sums, out);
}

}  // namespace simclr::cuda
