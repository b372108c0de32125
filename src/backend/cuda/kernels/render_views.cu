#include "render_views.hpp"

#include <algorithm>

#include "../launch.hpp"
#include "reduce.cuh"
#include "render_blur.cuh"
#include "render_color.cuh"
#include "render_resample.cuh"
#include "render_tile.cuh"
#include "shared.cuh"

namespace simclr::cuda {

namespace {

__device__ Tile tile_of_block(const ViewTask& task, const TilePlan& plan, const TileMemory& at) {
  Tile tile{.task = task, .plan = plan, .at = at, .memory = dynamic_shared<float>()};
  tile.first = static_cast<int>(blockIdx.x) % plan.tiles * plan.width;
  tile.end = tile.first + plan.width < plan.side ? tile.first + plan.width : plan.side;
  return tile;
}

/// The thread's part of the sum of luma over the tile, as the ops before contrast leave it.
__device__ std::int64_t sum_luma(const Tile& tile, const ColorOps& colors, bool bicubic) {
  const int side = tile.plan.side;
  std::int64_t sum = 0;
  for (int y = 0; y < side; y += kFilterRows) {
    prepare_rows(tile, y, bicubic);
    for_units(tile, y, y, y + kFilterRows < side ? y + kFilterRows : side, [&](const Unit& unit) {
      const Pixels pixels = colors.apply(colors.before_contrast, 0, make_pixels(tile, unit));
      int column = 0;
#pragma unroll
      for (int i = 0; i < kGroupRows; ++i) {
        column += unit.row + i < side ? whole_luma(pixels.row[i]) : 0;
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
  Tile tile = tile_of_block(task, plan, at);
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
    if (unit.row + i >= side) break;
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
/// with a barrier behind the first and the second. first, width: columns of the view.
__device__ void render_tile(const Tile& tile, const Finish& finish, bool bicubic, int first,
                            int width, float* out) {
  const int side = tile.plan.side;
  const int radius = tile.task.blur_radius;
  const int step = radius > 0 ? kRowsAtOnce : kFilterRows;
  RowsOut rows(0, 0, side, radius);
  for (int y = 0; y < side; y += step) {
    const int filters_from = y / kFilterRows * kFilterRows;
    if (y == filters_from) prepare_rows(tile, y, bicubic);
    const int made = y + step < side ? y + step : side;
    for_units(tile, filters_from, y, made, [&](const Unit& unit) {
      const Pixels pixels = finish(make_pixels(tile, unit));
      if (radius == 0) {
        write_unit(tile, unit, pixels, out);
      } else if (lane_of_warp() < unit.columns) {
        store_plain(tile, unit, radius, first, width, pixels);
      }
      __syncwarp();
    });
    if (radius == 0) continue;
    __syncthreads();
    rows = RowsOut(rows.next + rows.groups * kBlurOutputs, made, side, radius);
    prepare_ring_rows(tile, rows, made, radius);
    blur_rows(tile, y, radius, width);
    __syncthreads();
    write_rows(tile, rows, radius, width, out + 3 * first);
  }
}

/// Block = tile of a view.
__global__ void __launch_bounds__(kRenderThreads, 2)
    render_kernel(const ViewTask* __restrict__ tasks, TilePlan plan, RenderSettings settings,
                  const std::int64_t* __restrict__ luma_sums, float* __restrict__ out) {
  const int view = static_cast<int>(blockIdx.x) / plan.tiles;
  const ViewTask& task = tasks[view];
  const int side = plan.side;
  const int radius = task.blur_radius;
  const TileMemory at(plan);
  Tile tile = tile_of_block(task, plan, at);
  const int first = tile.first;
  const int width = tile.end - first;
  tile.first = first > radius ? first - radius : 0;
  tile.end = tile.end + radius < side ? tile.end + radius : side;
  if (radius > 0) prepare_blur(tile, radius, task.parameters.sigma);
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
    finish.mean_luma = mean_of_luma(sum, side);
  }
  render_tile(tile, finish, settings.bicubic, first, width,
              out + std::int64_t{view} * side * side * 3);
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

namespace {

TaskAxis task_axis(const augment::Axis& axis, Interpolation interpolation) {
  TaskAxis task{.axis = axis, .taps = augment::count_taps(axis, interpolation)};
  task.scale = static_cast<float>(axis.in) / static_cast<float>(axis.out);
  const float stretch = std::max(task.scale, 1.0F);
  task.inverse_stretch = 1.0F / stretch;
  task.support = (interpolation == Interpolation::bicubic ? 2.0F : 1.0F) * stretch;
  return task;
}

}  // namespace

ViewTask make_view_task(const AugmentationConfig& config, const std::uint8_t* pixels, int height,
                        int width, const ViewParameters& parameters) {
  const augment::ViewGeometry geometry = augment::view_geometry(config, height, width, parameters);
  ViewTask task{.pixels = pixels + geometry.first_byte,
                .row_bytes = static_cast<std::int32_t>(geometry.row_bytes),
                .rows = {.axis = geometry.rows},
                .columns = {.axis = geometry.columns},
                .resample = geometry.resample,
                .parameters = parameters};
  if (task.resample) {
    task.rows = task_axis(geometry.rows, config.interpolation);
    task.columns = task_axis(geometry.columns, config.interpolation);
  }
  if (parameters.blur) {
    task.blur_radius = blur_radius(blur_kernel_size(config.image_size) / 2, parameters.sigma);
  }
  return task;
}

TilePlan plan_tiles(std::span<const ViewTask> tasks, int side, std::size_t shared_bytes_limit) {
  // Wide enough that warps are full and margins small; two blocks share a multiprocessor.
  constexpr int kWidestTile = 128;
  constexpr int kNarrowestTile = 16;
  TilePlan plan{.side = side};
  for (const ViewTask& task : tasks) {
    plan.radius = std::max(plan.radius, task.blur_radius);
    plan.row_span = std::max(plan.row_span, sources_of(task.rows, kGroupRows));
    plan.column_taps = std::max(plan.column_taps, task.columns.taps);
  }
  std::size_t bytes = 0;
  const auto try_window = [&](int columns) {
    plan.window = kWarp;
    for (const ViewTask& task : tasks) {
      const int sources = sources_of(task.columns, columns);
      plan.window = std::max(plan.window, ceil_div(sources, kWarp) * kWarp);
    }
    bytes = static_cast<std::size_t>(TileMemory(plan).words) * sizeof(float);
  };
  // Warps that have half of their lanes to do; fewer where memory is short.
  constexpr int kFewestColumns = kWarp / 2;
  for (int tiles = ceil_div(side, kWidestTile);; ++tiles) {
    plan.width = ceil_div(ceil_div(side, tiles), kBlurOutputs) * kBlurOutputs;
    plan.tiles = ceil_div(side, plan.width);
    try_window(kFewestColumns);
    if (bytes <= shared_bytes_limit / 2 || plan.width <= kNarrowestTile) break;
  }
  for (int columns = kFewestColumns / 2; bytes > shared_bytes_limit && columns > 0; columns /= 2) {
    try_window(columns);
  }
  if (bytes > shared_bytes_limit) {
    int longest = 0;
    for (const ViewTask& task : tasks) {
      longest = std::max({longest, task.rows.axis.in, task.columns.axis.in});
    }
    refuse(
        "views of {} pixels from {} rows or columns of a stored image need {} bytes of the "
        "device's shared memory, which has {}; store smaller images (pack --resize-short)",
        side, longest, bytes, shared_bytes_limit);
  }
  return plan;
}

RenderSettings render_settings(const AugmentationConfig& config) {
  RenderSettings settings{.bicubic = config.interpolation == Interpolation::bicubic,
                          .additive_brightness = config.additive_brightness};
  for (std::size_t c = 0; c < 3 && config.mean; ++c) {
    settings.scale[c] = 1.0F / (*config.std)[c];
    settings.offset[c] = -(*config.mean)[c] * settings.scale[c];
  }
  return settings;
}

}  // namespace simclr::cuda
