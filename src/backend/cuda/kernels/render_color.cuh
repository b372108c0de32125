#pragma once
// Colour jitter and grayscale of some pixels at once (one choice of the op serves all of them), and
// the exact sum of a view's luma that contrast needs.

#include <cuda_runtime.h>

#include <cstdint>

#include "render_resample.cuh"
#include "simclr/augment/pixels.hpp"

namespace simclr::cuda {

template <class Adjust>
__device__ __forceinline__ Pixels adjust_all(Pixels pixels, Adjust&& adjust) {
#pragma unroll
  for (Rgb<float>& pixel : pixels.row) pixel = adjust(pixel);
  return pixels;
}

/// A view's colour ops, in registers.
struct ColorOps {
  float brightness, contrast, saturation, hue;
  unsigned order;  ///< a byte an op, the first one lowest
  bool additive_brightness, jitter, gray;

  __device__ ColorOps(const ViewParameters& view, bool is_additive)
      : brightness(view.brightness),
        contrast(view.contrast),
        saturation(view.saturation),
        hue(view.hue),
        order(0),
        additive_brightness(is_additive),
        jitter(view.jitter),
        gray(view.gray) {
#pragma unroll
    for (int i = 0; i < 4; ++i) order |= static_cast<unsigned>(view.order[i]) << (8 * i);
  }

  [[nodiscard]] __device__ __forceinline__ ColorOp op(int position) const {
    return static_cast<ColorOp>(order >> (8 * position) & 0xFFU);
  }
  [[nodiscard]] __device__ __forceinline__ Pixels apply(ColorOp op, float mean_luma,
                                                        const Pixels& p) const {
    switch (op) {
      case ColorOp::brightness:
        return adjust_all(p, [&](Rgb<float> pixel) {
          return additive_brightness ? add_brightness(pixel, brightness)
                                     : adjust_brightness(pixel, brightness);
        });
      case ColorOp::contrast:
        return adjust_all(
            p, [&](Rgb<float> pixel) { return adjust_contrast(pixel, mean_luma, contrast); });
      case ColorOp::saturation:
        return adjust_all(p,
                          [&](Rgb<float> pixel) { return adjust_saturation(pixel, saturation); });
      case ColorOp::hue:
        return adjust_all(p, [&](Rgb<float> pixel) { return adjust_hue(pixel, hue); });
    }
    return p;
  }
  /// The ops that come before contrast.
  [[nodiscard]] __device__ __forceinline__ Pixels before_contrast(Pixels p) const {
#pragma unroll 1
    for (int i = 0; i < 4 && op(i) != ColorOp::contrast; ++i) p = apply(op(i), 0, p);
    return p;
  }
  [[nodiscard]] __device__ __forceinline__ Pixels all(float mean_luma, Pixels p) const {
    if (jitter) {
#pragma unroll 1
      for (int i = 0; i < 4; ++i) p = apply(op(i), mean_luma, p);
    }
    if (gray) {
      p = adjust_all(p, [](Rgb<float> pixel) {
        const float gray_value = luma(pixel);
        return Rgb<float>{gray_value, gray_value, gray_value};
      });
    }
    return p;
  }
};

/// Luma in units of 2^-23. Whole numbers add up to the same sum in any order, so that a view does
/// not depend on how it was cut into tiles.
__device__ __forceinline__ int whole_luma(Rgb<float> p) {
  constexpr int kOne = 0x3F800000;
  return __float_as_int(1.0F + luma(p)) - kOne;
}
__device__ __forceinline__ float mean_of_luma(std::int64_t sum, int side) {
  constexpr double kUnits = 8388608.0;
  return static_cast<float>(static_cast<double>(sum) /
                            (kUnits * static_cast<double>(side) * static_cast<double>(side)));
}

}  // namespace simclr::cuda
