#include "render_views.hpp"

#include <algorithm>

#include "../launch.hpp"
#include "reduce.cuh"
#include "render_blur.cuh"
#include "render_color.cuh"
#include "render_tile.cuh"
#include "shared.cuh"

namespace simclr::cuda {

namespace {

/// The thread's part of the sum of luma over the tile, as the ops before contrast leave it.
__device__ std::int64_t sum_luma(const Tile& tile, const ColorOps& colors, bool bicubic) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  std::int64_t sum = 0;
  for (int y = 2 * warp; y < tile.plan.side; y += kRowsAtOnce) {
    make_rows(tile, y, bicubic, [&](int, PixelPair p) {
      p = colors.before_contrast(p);
      sum += whole_luma(p.upper) + (y + 1 < tile.plan.side ? whole_luma(p.lower) : 0);
    });
  }
  return sum;
}

/// Block = tile of a view. sums: (views, tiles).
__global__ void __launch_bounds__(kRenderThreads, 4)
    luma_kernel(const ViewTask* __restrict__ tasks, TilePlan plan, RenderSettings settings,
                std::int64_t* __restrict__ sums) {
  const int view = static_cast<int>(blockIdx.x) / plan.tiles;
  const ViewTask& task = tasks[view];
  if (!task.parameters.jitter) return;
  const TileMemory at(plan);
  Tile tile{.task = task, .plan = plan, .at = at, .memory = dynamic_shared<float>()};
  tile.first = static_cast<int>(blockIdx.x) % plan.tiles * plan.width;
  tile.end = tile.first + plan.width < plan.side ? tile.first + plan.width : plan.side;
  prepare_columns(tile, settings.bicubic);
  const ColorOps colors(task.parameters, settings.additive_brightness);
  const std::int64_t sum = block_sum<kRenderThreads>(sum_luma(tile, colors, settings.bicubic));
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

/// A pixel of column x into its row before the blur, and into the mirrored margins.
__device__ __forceinline__ void store_with_margins(float* row, int first, int columns, int side,
                                                   int x, Rgb<float> p) {
  const auto store = [&](int column) {
    float* to = row + 3 * (column - first);
    to[0] = p.r;
    to[1] = p.g;
    to[2] = p.b;
  };
  store(x);
  if (x > 0 && -x >= first) store(-x);
  const int mirrored = 2 * (side - 1) - x;
  if (x < side - 1 && mirrored < first + columns) store(mirrored);
}

/// Block = tile of a view, made from top to bottom. Of kRowsAtOnce rows:
///   rows of the view (two a warp) | horizontal blur | vertical blur of what is complete, out
/// with a barrier behind each.
__global__ void __launch_bounds__(kRenderThreads, 2)
    render_kernel(const ViewTask* __restrict__ tasks, TilePlan plan, RenderSettings settings,
                  const std::int64_t* __restrict__ luma_sums, float* __restrict__ out) {
  const int view = static_cast<int>(blockIdx.x) / plan.tiles;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const ViewTask& task = tasks[view];
  const int side = plan.side;
  const int radius = task.blur_radius;
  const int first = static_cast<int>(blockIdx.x) % plan.tiles * plan.width;
  const int width = plan.width < side - first ? plan.width : side - first;
  const TileMemory at(plan);
  Tile tile{.task = task, .plan = plan, .at = at, .memory = dynamic_shared<float>()};
  tile.first = first > radius ? first - radius : 0;
  tile.end = first + width + radius < side ? first + width + radius : side;
  if (radius > 0) {
    prepare_blur(tile, radius, task.parameters.sigma);
    for (int i = at.plain + static_cast<int>(threadIdx.x); i < at.ring; i += kRenderThreads) {
      tile.memory[i] = 0;
    }
  }
  prepare_columns(tile, settings.bicubic);

  const ColorOps colors(task.parameters, settings.additive_brightness);
  float mean_luma = 0;
  if (colors.jitter) {
    std::int64_t sum = 0;
    if (plan.tiles == 1) {
      sum = block_sum<kRenderThreads>(sum_luma(tile, colors, settings.bicubic));
    } else {
      for (int i = 0; i < plan.tiles; ++i) sum += luma_sums[view * plan.tiles + i];
    }
    mean_luma = mean_of_luma(sum, side);
  }

  float* view_out = out + std::int64_t{view} * side * side * 3 + 3 * first;
  RowsOut rows(0, 0, side, radius);
  // Where rows go first: with a blur to come, before it and with margins.
  const int row_first = radius > 0 ? first - radius : first;
  const auto row_at = [&](int y) {
    return tile.memory + (radius > 0 ? at.plain + y % kRowsAtOnce * at.plain_pitch
                                     : at.ring + y % at.ring_rows * at.ring_pitch);
  };
  for (int y = 0; y < side; y += kRowsAtOnce) {
    const int made = y + kRowsAtOnce < side ? y + kRowsAtOnce : side;
    rows = RowsOut(rows.next + rows.groups * kBlurOutputs, made, side, radius);
    prepare_ring_rows(tile, rows, made, radius);
    const int mine = y + 2 * warp;
    if (mine < side) {
      float* upper = row_at(mine);
      float* lower = mine + 1 < side ? row_at(mine + 1) : upper;
      make_rows(tile, mine, settings.bicubic, [&](int k, PixelPair p) {
        p = colors.all(mean_luma, p);
        const int x = tile.first + k;
        store_with_margins(upper, row_first, width + 2 * radius, side, x, p.upper);
        store_with_margins(lower, row_first, width + 2 * radius, side, x, p.lower);
      });
    }
    __syncthreads();
    if (radius > 0) {
      blur_rows(tile, y, radius, width);
      __syncthreads();
    }
    write_rows(tile, rows, radius, width, settings, view_out);
    __syncthreads();
  }
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
    // The next row's taps start so much later, or one more where starts are rounded.
    const int shift = static_cast<int>(task.rows.scale) + 2;
    plan.row_span = std::max(plan.row_span, task.rows.taps + shift);
    plan.column_taps = std::max(plan.column_taps, task.columns.taps);
  }
  std::size_t bytes = 0;
  for (int tiles = ceil_div(side, kWidestTile);; ++tiles) {
    plan.width = ceil_div(ceil_div(side, tiles), kBlurOutputs) * kBlurOutputs;
    plan.tiles = ceil_div(side, plan.width);
    plan.source_columns = 0;
    for (const ViewTask& task : tasks) {
      const augment::Axis& axis = task.columns.axis;
      const int columns = std::min(plan.width + 2 * task.blur_radius, side);
      const auto scale = static_cast<double>(task.columns.scale);
      // Starts are rounded down: their distance is that of the centres, or one more; another one
      // for the rounding of the centres themselves.
      const int span = static_cast<int>((columns - 1) * scale) + 2 + task.columns.taps;
      plan.source_columns = std::max(plan.source_columns, std::min(span, axis.in));
    }
    bytes = static_cast<std::size_t>(TileMemory(plan).words) * sizeof(float);
    if (bytes <= shared_bytes_limit / 2 || plan.width <= kNarrowestTile) break;
  }
  if (bytes > shared_bytes_limit) {
    int longest = 0;
    for (const ViewTask& task : tasks) longest = std::max(longest, task.columns.axis.in);
    refuse(
        "views of {} pixels from {} columns of a stored image need {} bytes of the device's shared "
        "memory, which has {}; store smaller images (pack --resize-short)",
        side, longest, bytes, shared_bytes_limit);
  }
  return plan;
}

RenderSettings render_settings(const AugmentationConfig& config) {
  RenderSettings settings{.bicubic = config.interpolation == Interpolation::bicubic,
                          .additive_brightness = config.additive_brightness};
  for (std::size_t c = 0; c < 3 && config.mean; ++c) {
    settings.mean[c] = (*config.mean)[c];
    settings.inverse_std[c] = 1.0F / (*config.std)[c];
  }
  return settings;
}

}  // namespace simclr::cuda
