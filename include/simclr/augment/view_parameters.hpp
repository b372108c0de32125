#pragma once
// What is decided of one view before its pixels are rendered: plain data.

#include <cstdint>

namespace simclr {

/// The operations that a list may name; docs/augmentation.md defines them.
enum class AugmentOp : std::uint8_t {
  crop,
  flip,
  color,
  gray,
  blur,
  cutout,
  rotate,
  noise,
  sobel,
  solarize,
  equalize
};
inline constexpr int kAugmentOps = 11;

/// The program whose definition of crop, resizing, color jitter and blur is followed.
enum class AugmentSemantics : std::uint8_t { torchvision, tf_v1, tf_v2 };

enum class Interpolation : std::uint8_t { bilinear, bicubic };

/// In pixels of the image that it is taken from.
struct CropBox {
  int top = 0;
  int left = 0;
  int height = 0;
  int width = 0;
  bool operator==(const CropBox&) const = default;
};

/// Numbered as in torchvision's ColorJitter.
enum class ColorOp : std::uint8_t { brightness, contrast, saturation, hue };

/// The words of a Philox stream from which the pixels' noise is made: pixel i takes block i + 1.
struct NoiseStream {
  std::uint64_t seed = 0;
  std::uint32_t purpose = 0, a = 0, b = 0;
  bool operator==(const NoiseStream&) const = default;
};

struct ViewParameters {
  /// Part of the stored image that is resized to the view, if has_base; else the view begins as the
  /// evaluation image, or as the stored image where that has the view's size.
  CropBox base;
  bool has_base = false;
  /// The operations that are applied, in this order: the first op_count elements.
  AugmentOp ops[kAugmentOps] = {};
  int op_count = 0;

  CropBox crop;          ///< of an operation crop among them, in pixels of the view
  float brightness = 1;  ///< a factor, or an addend where the configuration says so
  float contrast = 1;
  float saturation = 1;
  float hue = 0;  ///< in turns
  ColorOp order[4] = {ColorOp::brightness, ColorOp::contrast, ColorOp::saturation, ColorOp::hue};
  float sigma = 0;        ///< of the blur, in pixels of the view
  CropBox cutout;         ///< in pixels of the view; may reach beyond its borders
  int quarter_turns = 0;  ///< counter-clockwise
  float noise_sigma = 0;
  NoiseStream noise;
  float threshold = 0.5F;  ///< of solarize

  bool operator==(const ViewParameters&) const = default;

  void add(AugmentOp op) { ops[op_count++] = op; }
  [[nodiscard]] bool applies(AugmentOp op) const {
    for (int i = 0; i < op_count; ++i) {
      if (ops[i] == op) return true;
    }
    return false;
  }
};

}  // namespace simclr
