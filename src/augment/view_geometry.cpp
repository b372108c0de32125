#include "simclr/augment/view_geometry.hpp"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "simclr/augment/augmentation_parameters.hpp"
#include "simclr/core/check.hpp"

namespace simclr::augment {

int count_taps(const Axis& axis, Interpolation interpolation) {
  const double stretch = std::max(1.0, static_cast<double>(axis.in) / axis.out);
  const double support = (interpolation == Interpolation::bicubic ? 2.0 : 1.0) * stretch;
  return std::min(axis.in, static_cast<int>(std::ceil(2 * support)));
}

std::pair<Axis, Axis> evaluation_axes(int height, int width, int side) {
  const auto target = static_cast<int>(std::lround(side * 256.0 / 224.0));
  const auto axis = [&](int length) {
    const int out = static_cast<int>(std::int64_t{target} * length / std::min(height, width));
    return Axis{.in = length,
                .out = out,
                .first = static_cast<int>(std::rint((out - side) / 2.0)),
                .count = side};
  };
  return {axis(height), axis(width)};
}

ViewGeometry view_geometry(const AugmentationConfig& config, int height, int width,
                           const ViewParameters& parameters) {
  const int side = config.image_size;
  const CropBox& crop = parameters.crop;
  require(crop.top >= 0 && crop.left >= 0 && crop.height > 0 && crop.width > 0 &&
              crop.top + crop.height <= height && crop.left + crop.width <= width,
          "crop lies inside the image");
  ViewGeometry geometry;
  geometry.row_bytes = std::ptrdiff_t{width} * 3;
  geometry.first_byte = crop.top * geometry.row_bytes + std::ptrdiff_t{crop.left} * 3;
  geometry.resample = crop.height != side || crop.width != side;
  if (config.crop || !geometry.resample) {
    geometry.rows = {.in = crop.height, .out = side, .count = side};
    geometry.columns = {.in = crop.width, .out = side, .count = side};
  } else {
    std::tie(geometry.rows, geometry.columns) = evaluation_axes(height, width, side);
  }
  geometry.columns.mirrored = parameters.flip;
  return geometry;
}

}  // namespace simclr::augment
