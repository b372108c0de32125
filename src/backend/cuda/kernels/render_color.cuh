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

/// A view's colour ops. What is to be done to a pixel is a list: four bits an op, the first one
/// lowest, zeros behind the last one.
struct ColorOps {
  static constexpr unsigned code(ColorOp op) { return static_cast<unsigned>(op) + 1; }
  static constexpr unsigned kGray = 5;  ///< follows the ops of the jitter

  float brightness, contrast, saturation, hue;
  bool additive_brightness;
  unsigned all = 0;
  unsigned before_contrast = 0;

  __device__ ColorOps(const ViewParameters& view, bool is_additive)
      : brightness(view.brightness),
        contrast(view.contrast),
        saturation(view.saturation),
        hue(view.hue),
        additive_brightness(is_additive) {
    int ops = 0;
    for (; view.jitter && ops < 4; ++ops) {
      if (view.order[ops] == ColorOp::contrast) before_contrast = all;
      all |= code(view.order[ops]) << (4 * ops);
    }
    if (view.gray) all |= kGray << (4 * ops);
  }

  [[nodiscard]] __device__ __forceinline__ Pixels apply(unsigned list, float mean_luma,
                                                        Pixels p) const {
#pragma unroll 1
    for (; list != 0; list >>= 4) p = adjust(list & 0xFU, mean_luma, p);
    return p;
  }

 private:
  [[nodiscard]] __device__ __forceinline__ Pixels adjust(unsigned op, float mean_luma,
                                                         const Pixels& p) const {
    switch (op) {
      case code(ColorOp::brightness):
        return adjust_all(p, [&](Rgb<float> pixel) {
          return additive_brightness ? add_brightness(pixel, brightness)
                                     : adjust_brightness(pixel, brightness);
        });
      case code(ColorOp::contrast):
        return adjust_all(
            p, [&](Rgb<float> pixel) { return adjust_contrast(pixel, mean_luma, contrast); });
      case code(ColorOp::saturation):
        return adjust_all(p,
                          [&](Rgb<float> pixel) { return adjust_saturation(pixel, saturation); });
      case code(ColorOp::hue):
        return adjust_all(p, [&](Rgb<float> pixel) { return adjust_hue(pixel, hue); });
      default:
        return adjust_all(p, [](Rgb<float> pixel) {
          const float gray = luma(pixel);
          return Rgb<float>{gray, gray, gray};
        });
    }
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
