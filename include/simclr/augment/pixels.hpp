#pragma once
// The arithmetic of augmentation, a pixel or a filter tap at a time. T is float or a vector of
// floats. Formulas: torchvision's functional ops on float tensors
// (transforms/functional_tensor.py) in [0, 1].

#include "simclr/core/host_device.hpp"

namespace simclr {

template <class T>
struct Rgb {
  T r, g, b;
};

template <class T>
SIMCLR_HD_INLINE T smaller(T a, T b) {
  return a < b ? a : b;
}
template <class T>
SIMCLR_HD_INLINE T larger(T a, T b) {
  return a > b ? a : b;
}
template <class T>
SIMCLR_HD_INLINE T clamp01(T x) {
  return smaller(larger(x, T{}), T{} + 1.0F);
}
template <class T>
SIMCLR_HD_INLINE T absolute(T x) {
  return larger(x, -x);
}
template <class T>
SIMCLR_HD_INLINE Rgb<T> clamp01(Rgb<T> p) {
  return {clamp01(p.r), clamp01(p.g), clamp01(p.b)};
}

/// Grayscale value, rgb_to_grayscale's weights (they add up to 0.9999, as there).
template <class T>
SIMCLR_HD_INLINE T luma(Rgb<T> p) {
  return 0.2989F * p.r + 0.587F * p.g + 0.114F * p.b;
}

/// factor * pixel + (1 - factor) * other, clamped: what brightness, contrast and saturation are.
template <class T>
SIMCLR_HD_INLINE Rgb<T> blend(Rgb<T> p, T other, float factor) {
  const T rest = (1.0F - factor) * other;
  return clamp01(Rgb<T>{factor * p.r + rest, factor * p.g + rest, factor * p.b + rest});
}
template <class T>
SIMCLR_HD_INLINE Rgb<T> adjust_brightness(Rgb<T> p, float factor) {
  return clamp01(Rgb<T>{factor * p.r, factor * p.g, factor * p.b});
}
/// The first SimCLR's brightness: an addend instead of a factor.
template <class T>
SIMCLR_HD_INLINE Rgb<T> add_brightness(Rgb<T> p, float addend) {
  return clamp01(Rgb<T>{p.r + addend, p.g + addend, p.b + addend});
}
/// mean_luma: mean of luma() over the whole view as it is before this op.
template <class T>
SIMCLR_HD_INLINE Rgb<T> adjust_contrast(Rgb<T> p, float mean_luma, float factor) {
  return blend(p, T{} + mean_luma, factor);
}
template <class T>
SIMCLR_HD_INLINE Rgb<T> adjust_saturation(Rgb<T> p, float factor) {
  return blend(p, luma(p), factor);
}

/// TensorFlow's contrast: every channel moves away from its own mean over the view.
template <class T>
SIMCLR_HD_INLINE Rgb<T> adjust_channel_contrast(Rgb<T> p, Rgb<float> mean, float factor) {
  const float rest = 1.0F - factor;
  return clamp01(Rgb<T>{factor * p.r + rest * mean.r, factor * p.g + rest * mean.g,
                        factor * p.b + rest * mean.b});
}
/// TensorFlow's saturation: S of HSV becomes min(1, factor * S). V, the largest channel, stays, and
/// the others keep their distance from it in proportion: S = chroma / V.
template <class T>
SIMCLR_HD_INLINE Rgb<T> adjust_hsv_saturation(Rgb<T> p, float factor) {
  constexpr float kNoChroma = 1e-30F;
  const T zero{};
  const T largest = larger(larger(p.r, p.g), p.b);
  const T chroma = largest - smaller(smaller(p.r, p.g), p.b);
  const T ratio = smaller(zero + factor, largest / larger(chroma, zero + kNoChroma));
  return clamp01(Rgb<T>{largest - (largest - p.r) * ratio, largest - (largest - p.g) * ratio,
                        largest - (largest - p.b) * ratio});
}

/// Bright values become dark.
template <class T>
SIMCLR_HD_INLINE T solarize(T x, float threshold) {
  return x < threshold ? x : 1.0F - x;
}

/// `largest` is the largest of p's channels: chooses by which of them it is.
template <class T>
SIMCLR_HD_INLINE T by_largest(Rgb<T> p, T largest, T if_red, T if_green, T if_blue) {
  return largest == p.r ? if_red : (largest == p.g ? if_green : if_blue);
}

/// Turns the hue by `shift` of a full circle, -0.5 <= shift <= 0.5. Equal to the way through HSV,
/// but chroma and the least channel stay as they are, so that only the angle (in sixths of the
/// circle, from red on) is computed: channel = least + chroma * membership of the channel in the
/// angle's sectors.
template <class T>
SIMCLR_HD_INLINE Rgb<T> adjust_hue(Rgb<T> p, float shift) {
  const T zero{};
  const T largest = larger(larger(p.r, p.g), p.b);
  const T least = smaller(smaller(p.r, p.g), p.b);
  const T chroma = largest - least;
  // Gray has no angle: any will do.
  constexpr float kNoChroma = 1e-30F;
  const T inverse = 1.0F / larger(chroma, zero + kNoChroma);
  const T difference =
      by_largest(p, largest, p.g, p.b, p.r) - by_largest(p, largest, p.b, p.r, p.g);
  const T start = by_largest(p, largest, zero, zero + 2.0F, zero + 4.0F) + 6.0F * shift;
  const T turned = difference * inverse + start;
  // Into [-3, 3]: adding and subtracting 1.5 * 2^23 rounds to a whole number of circles.
  constexpr float kRounder = 12582912.0F;
  const T circles = (turned * (1.0F / 6.0F) + kRounder) - kRounder;
  const T angle = turned - 6.0F * circles;
  const T in_red = clamp01(2.0F - absolute(angle));
  const T in_green = clamp01(absolute(angle + 1.0F) - 1.0F);
  const T in_blue = clamp01(absolute(angle - 1.0F) - 1.0F);
  return {least + chroma * in_red, least + chroma * in_green, least + chroma * in_blue};
}

/// Cubic convolution kernel (Keys) with a = -0.5, support 2: antialiased bicubic.
template <class T>
SIMCLR_HD_INLINE T cubic_filter(T x) {
  const T d = absolute(x);
  const T inner = (1.5F * d - 2.5F) * d * d + 1.0F;
  const T outer = ((-0.5F * d + 2.5F) * d - 4.0F) * d + 2.0F;
  return d < 1.0F ? inner : (d < 2.0F ? outer : T{});
}
/// The same with a = -0.75, TensorFlow 1's.
template <class T>
SIMCLR_HD_INLINE T sharp_cubic_filter(T x) {
  const T d = absolute(x);
  const T inner = (1.25F * d - 2.25F) * d * d + 1.0F;
  const T outer = ((-0.75F * d + 3.75F) * d - 6.0F) * d + 3.0F;
  return d < 1.0F ? inner : (d < 2.0F ? outer : T{});
}
/// Triangle, support 1: antialiased bilinear.
template <class T>
SIMCLR_HD_INLINE T triangle_filter(T x) {
  return larger(1.0F - absolute(x), T{});
}

/// Side of the blur kernel: 10 % of the image's side, made odd.
SIMCLR_HD_INLINE int blur_kernel_size(int image_size) {
  const int tenth = image_size / 10;
  return tenth % 2 == 0 ? tenth + 1 : tenth;
}
/// The blur's weight at this distance from the center, which has 1.
SIMCLR_HD_INLINE float gaussian(int distance, float sigma) {
  const float ratio = static_cast<float>(distance) / sigma;
  return __builtin_expf(-0.5F * ratio * ratio);
}
/// As far as the blur reaches: taps below float's resolution are left out, because they cannot
/// change the sum and most kernels are far wider than their sigma needs.
SIMCLR_HD_INLINE int blur_radius(int largest_radius, float sigma) {
  constexpr float kNegligible = 1e-8F;
  int radius = 0;
  while (radius < largest_radius && gaussian(radius + 1, sigma) > kNegligible) ++radius;
  return radius;
}
/// Index of a pixel mirrored into [0, count) without repeating the edge; -count < index < 2*count
/// - 1.
template <class Int>
SIMCLR_HD_INLINE Int reflect_index(Int index, Int count) {
  const Int folded = index < 0 ? -index : index;
  return folded < count ? folded : 2 * (count - 1) - folded;
}

}  // namespace simclr
