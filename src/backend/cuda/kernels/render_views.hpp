#pragma once
// Training views from stored pixels: what the rendering kernels are given.

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "simclr/augment/augmentation.hpp"
#include "simclr/augment/augmentation_parameters.hpp"
#include "simclr/augment/view_geometry.hpp"

namespace simclr::cuda {

inline constexpr int kRenderWarps = 8;
/// Neighbouring rows that a warp makes at once, each lane a column of them.
inline constexpr int kGroupRows = 4;
/// Rows that a block makes before it blurs them.
inline constexpr int kRowsAtOnce = 4 * kGroupRows;
/// Rows whose filters are in shared memory at once.
inline constexpr int kFilterRows = 64;
/// Adjacent rows, and adjacent values of them, that a thread of the blur's vertical pass sums up.
inline constexpr int kBlurOutputs = 4;

/// An axis and its filter.
struct TaskAxis {
  augment::Axis axis;
  std::int32_t taps = 1;
  float scale = 1;            ///< source samples from an output to the next
  float inverse_stretch = 1;  ///< of the filter, which widens when the image shrinks
  float support = 0;          ///< source samples on either side of a centre
};

/// One view to be rendered.
struct ViewTask {
  const std::uint8_t* pixels = nullptr;  ///< device: first pixel of the source window
  std::int32_t row_bytes = 0;
  std::int32_t blur_radius = 0;  ///< 0: no blur
  TaskAxis rows, columns;
  bool resample = true;  ///< as in ViewGeometry
  ViewParameters parameters;
};

/// Of a view of an image whose pixels lie at `pixels` in device memory.
ViewTask make_view_task(const AugmentationConfig& config, const std::uint8_t* pixels, int height,
                        int width, const ViewParameters& parameters);

/// A view is cut into `tiles` tiles, of which a block makes one: whole columns, from top to bottom,
/// or whole rows where there is no blur. How it is cut changes no bit of a view.
struct TilePlan {
  int side = 0;
  int tiles = 1;
  int width = 0;        ///< of a tile, a multiple of kBlurOutputs; the last one may be narrower
  bool by_rows = true;  ///< whole rows where there is no blur: no margins, more of the warps full
  int radius = 0;       ///< largest of any view
  int row_span = 1;     ///< most source rows that kGroupRows rows are made from
  int column_taps = 1;  ///< most of any view
  int window = 32;      ///< source columns that a warp has in shared memory

  /// Most columns of the view that a tile looks at: of one that blurs, and of any.
  [[nodiscard]] SIMCLR_HD int blurred_columns() const { return width + 2 * radius; }
  [[nodiscard]] SIMCLR_HD int columns() const {
    return by_rows && blurred_columns() < side ? side : blurred_columns();
  }
};

/// Throws RefusedError when a block of a device with so much shared memory cannot hold what the
/// views need: images of more than some ten thousand columns.
TilePlan plan_tiles(std::span<const ViewTask> tasks, int side, std::size_t shared_bytes_limit);

struct RenderSettings {
  bool bicubic = true;
  bool additive_brightness = false;
  float scale[3] = {1, 1, 1};  ///< of the channels, and what is then added: normalises
  float offset[3] = {0, 0, 0};
};
RenderSettings render_settings(const AugmentationConfig& config);

/// tasks (views, device) -> out f32 (views, S, S, 3), device. luma_sums: device, (views,
/// plan.tiles). One launch where a tile is a whole view, or no view is jittered; else two.
void render_views(const ViewTask* tasks, std::int64_t views, bool jittered, const TilePlan& plan,
                  const RenderSettings& settings, std::int64_t* luma_sums, float* out,
                  cudaStream_t stream);

}  // namespace simclr::cuda
