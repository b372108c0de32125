#include "simclr/augment/augmentation_work.hpp"

#include <algorithm>
#include <cmath>

#include "simclr/augment/pixels.hpp"
#include "view_job.hpp"

namespace simclr {

namespace {

using augment::Axis;

// Operations a pixel of three channels, counted in pixels.hpp.
constexpr double kLumaFlops = 5;
constexpr double kClampFlops = 6;
constexpr double kBrightnessFlops = 3 + kClampFlops;
constexpr double kBlendFlops = 2 + 6 + kClampFlops;
constexpr double kHueFlops = 47;

double resampling_flops(const AugmentationConfig& config, const CropBox& crop) {
  const int side = config.image_size;
  const Axis rows{.in = crop.height, .out = side, .count = side};
  const Axis columns{.in = crop.width, .out = side, .count = side};
  const double vertical = 3.0 * side * crop.width * count_taps(rows, config.interpolation);
  const double horizontal = 3.0 * side * side * count_taps(columns, config.interpolation);
  return 2 * (vertical + horizontal) + kClampFlops * side * side;
}

double color_flops(const AugmentationConfig& config, const ViewParameters& view) {
  double flops = view.gray ? kLumaFlops : 0;
  if (view.jitter) {
    const double contrast = kLumaFlops + kBlendFlops;
    const double saturation = kLumaFlops + kBlendFlops;
    flops += kBrightnessFlops + contrast + saturation + kHueFlops;
  }
  return flops * config.image_size * config.image_size;
}

double blur_flops(const AugmentationConfig& config, const ViewParameters& view) {
  if (!view.blur) return 0;
  // As far as the kernel's weights exceed 1e-8 of the central one.
  const int reach = static_cast<int>(double{view.sigma} * std::sqrt(-2 * std::log(1e-8)));
  const int taps = 2 * std::min(blur_kernel_size(config.image_size) / 2, reach) + 1;
  return 2.0 * 2.0 * 3.0 * taps * config.image_size * config.image_size;
}

}  // namespace

AugmentationWork count_view_work(const AugmentationConfig& config, const ViewParameters& view,
                                 DType dtype) {
  const double pixels = double(config.image_size) * config.image_size;
  const auto value_bytes = static_cast<double>(size_in_bytes(dtype));
  return {.flops = resampling_flops(config, view.crop) + color_flops(config, view) +
                   blur_flops(config, view),
          .bytes = 3.0 * view.crop.height * view.crop.width + 3.0 * value_bytes * pixels};
}

std::string augmentation_kernels() { return augment::available_kernels().first->name; }

}  // namespace simclr
