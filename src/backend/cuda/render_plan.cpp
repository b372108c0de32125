// What the host decides of rendering views: each view's part of the stored image and its filters,
// and how views are cut into tiles.

#include <algorithm>

#include "kernels/render_memory.hpp"
#include "kernels/render_views.hpp"
#include "launch.hpp"
#include "simclr/augment/pixels.hpp"

namespace simclr::cuda {

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
  constexpr int kLanes = 32;
  TilePlan plan{.side = side};
  for (const ViewTask& task : tasks) {
    plan.radius = std::max(plan.radius, task.blur_radius);
    plan.row_span = std::max(plan.row_span, sources_of(task.rows, kGroupRows));
    plan.column_taps = std::max(plan.column_taps, task.columns.taps);
  }
  std::size_t bytes = 0;
  const auto try_window = [&](int columns) {
    plan.window = kLanes;
    for (const ViewTask& task : tasks) {
      const int sources = sources_of(task.columns, columns);
      plan.window = std::max(plan.window, ceil_div(sources, kLanes) * kLanes);
    }
    bytes = static_cast<std::size_t>(TileMemory(plan).words) * sizeof(float);
  };
  // Half of a warp's lanes have a column to do; fewer where memory is short.
  constexpr int kFewestColumns = kLanes / 2;
  for (int tiles = ceil_div(side, kWidestTile);; ++tiles) {
    plan.width = ceil_div(ceil_div(side, tiles), kBlurOutputs) * kBlurOutputs;
    plan.tiles = ceil_div(side, plan.width);
    plan.by_rows = true;
    try_window(kFewestColumns);
    if (bytes <= shared_bytes_limit / 2) break;
    plan.by_rows = false;
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
