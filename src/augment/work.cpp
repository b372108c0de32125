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

constexpr double kNoiseFlops = 300;  // ten rounds of Philox, two logarithms, sines and cosines
constexpr double kCutoutFlops = 5;
constexpr double kSolarizeFlops = 6;
constexpr double kEqualizeFlops = 6 + 3 + 9;       // histogram, levels twice
constexpr double kSobelFlops = 3.0 * (6 + 6 + 7);  // horizontal passes, vertical pass, length

/// Operations of a box that becomes side x side pixels.
double resampling_flops(const CropBox& box, int side, augment::ResamplingFilter filter) {
  if (box.height == side && box.width == side) return 3.0 * side * side;  // bytes become floats
  const Axis rows{.in = box.height, .out = side, .count = side};
  const Axis columns{.in = box.width, .out = side, .count = side};
  const double vertical = 3.0 * side * box.width * count_taps(rows, filter);
  const double horizontal = 3.0 * side * side * count_taps(columns, filter);
  return 2 * (vertical + horizontal) + kClampFlops * side * side;
}

double blur_flops(int side, double sigma) {
  // As far as the filter's weights exceed 1e-8 of the central one.
  const int reach = static_cast<int>(sigma * std::sqrt(-2 * std::log(1e-8)));
  const int taps = 2 * std::min(blur_kernel_size(side) / 2, reach) + 1;
  return 2.0 * 2.0 * 3.0 * taps;
}

/// Operations a pixel of the view.
double op_flops(AugmentOp op, int side, const ViewParameters& view) {
  switch (op) {
    case AugmentOp::color:
      return kBrightnessFlops + 2 * (kLumaFlops + kBlendFlops) + kHueFlops;
    case AugmentOp::gray:
      return kLumaFlops;
    case AugmentOp::blur:
      return blur_flops(side, double{view.sigma});
    case AugmentOp::cutout:
      return kCutoutFlops;
    case AugmentOp::noise:
      return kNoiseFlops;
    case AugmentOp::sobel:
      return kSobelFlops;
    case AugmentOp::solarize:
      return kSolarizeFlops;
    case AugmentOp::equalize:
      return kEqualizeFlops;
    case AugmentOp::crop:  // by its box
    case AugmentOp::flip:
    case AugmentOp::rotate:
      break;
  }
  return 0;
}

}  // namespace

AugmentationWork count_view_work(const AugmentationConfig& config, const ViewParameters& view,
                                 int height, int width, DType dtype) {
  const int side = config.image_size;
  const double pixels = double(side) * side;
  const augment::ResamplingFilter filter{config.interpolation, config.semantics};
  const CropBox base = view.has_base ? view.base : CropBox{0, 0, height, width};
  AugmentationWork work{.flops = resampling_flops(base, side, filter),
                        .bytes = 3.0 * base.height * base.width +
                                 3.0 * static_cast<double>(size_in_bytes(dtype)) * pixels};
  for (int i = 0; i < view.op_count; ++i) {
    work.flops += op_flops(view.ops[i], side, view) * pixels;
    if (view.ops[i] == AugmentOp::crop) work.flops += resampling_flops(view.crop, side, filter);
  }
  return work;
}

std::string augmentation_kernels() { return augment::available_kernels().first->name; }

}  // namespace simclr
