#pragma once
// What a view's random numbers decide, apart from the pixels: a pure function of
// (seed, epoch, sample, view).

#include <cmath>
#include <cstdint>

#include "simclr/augment/augmentation.hpp"
#include "simclr/core/random.hpp"

namespace simclr {

/// In pixels of the stored image.
struct CropBox {
  int top = 0;
  int left = 0;
  int height = 0;
  int width = 0;
  bool operator==(const CropBox&) const = default;
};

/// Numbered as in torchvision's ColorJitter.
enum class ColorOp : std::uint8_t { brightness, contrast, saturation, hue };

struct ViewParameters {
  CropBox crop;  ///< the whole image when the configuration has no crop
  bool flip = false;
  bool jitter = false;
  float brightness = 1;  ///< a factor, or the addend with additive_brightness
  float contrast = 1;
  float saturation = 1;
  float hue = 0;  ///< in turns
  ColorOp order[4] = {ColorOp::brightness, ColorOp::contrast, ColorOp::saturation, ColorOp::hue};
  bool gray = false;
  bool blur = false;
  float sigma = 0;  ///< of the blur, in pixels of the view
  bool operator==(const ViewParameters&) const = default;
};

/// Largest sample index + 1 and largest epoch + 1 that the counters tell apart.
inline constexpr std::int64_t kMaxAugmentedSamples = std::int64_t{1} << 32;
inline constexpr std::int64_t kMaxAugmentedEpochs = std::int64_t{1} << 31;

/// The stream of one op of one view: an op that is switched off leaves the others' numbers alone.
inline PhiloxStream view_stream(const ViewKey& key, RandomPurpose purpose) {
  return {key.seed, purpose, static_cast<std::uint32_t>(key.sample), key.epoch * 2 + key.view};
}

/// torchvision's RandomResizedCrop.get_params: area U(0.08, 1) of the image, log aspect
/// U(log 3/4, log 4/3), ten tries, else the central crop of the nearest allowed aspect.
inline CropBox sample_crop(PhiloxStream stream, int height, int width) {
  constexpr double kMinArea = 0.08;
  constexpr double kMinAspect = 3.0 / 4.0;
  constexpr double kMaxAspect = 4.0 / 3.0;
  constexpr double kLogMaxAspect = 0.28768207245178093;
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double share = kMinArea + (1.0 - kMinArea) * double{stream.uniform()};
    const double aspect = std::exp(kLogMaxAspect * (2.0 * double{stream.uniform()} - 1.0));
    const double area = share * height * width;
    // Halves to even, as Python's round().
    const int crop_width = static_cast<int>(std::rint(std::sqrt(area * aspect)));
    const int crop_height = static_cast<int>(std::rint(std::sqrt(area / aspect)));
    if (0 < crop_width && crop_width <= width && 0 < crop_height && crop_height <= height) {
      const auto top = stream.below(static_cast<std::uint32_t>(height - crop_height + 1));
      const auto left = stream.below(static_cast<std::uint32_t>(width - crop_width + 1));
      return {static_cast<int>(top), static_cast<int>(left), crop_height, crop_width};
    }
  }
  const double aspect = static_cast<double>(width) / height;
  int crop_height = height;
  int crop_width = width;
  if (aspect < kMinAspect) {
    crop_height = static_cast<int>(std::rint(width / kMinAspect));
  } else if (aspect > kMaxAspect) {
    crop_width = static_cast<int>(std::rint(height * kMaxAspect));
  }
  return {(height - crop_height) / 2, (width - crop_width) / 2, crop_height, crop_width};
}

/// Color jitter of strength s: factors U(max(0, 1-0.8s), 1+0.8s), hue U(-0.2s, 0.2s), random order.
inline void sample_jitter(PhiloxStream stream, float strength, bool additive_brightness,
                          ViewParameters& view) {
  view.jitter = stream.uniform() < 0.8F;
  for (std::uint32_t last = 3; last > 0; --last) {  // Fisher-Yates
    const std::uint32_t other = stream.below(last + 1);
    const ColorOp kept = view.order[last];
    view.order[last] = view.order[other];
    view.order[other] = kept;
  }
  const float reach = 0.8F * strength;
  const float low = reach < 1.0F ? 1.0F - reach : 0.0F;
  view.brightness =
      additive_brightness ? stream.uniform(-reach, reach) : stream.uniform(low, 1.0F + reach);
  view.contrast = stream.uniform(low, 1.0F + reach);
  view.saturation = stream.uniform(low, 1.0F + reach);
  view.hue = stream.uniform(-0.2F * strength, 0.2F * strength);
}

/// Everything random about one view of an image of this height and width.
inline ViewParameters sample_view_parameters(const AugmentationConfig& config, const ViewKey& key,
                                             int height, int width) {
  ViewParameters view;
  view.crop = config.crop ? sample_crop(view_stream(key, RandomPurpose::kCrop), height, width)
                          : CropBox{0, 0, height, width};
  view.flip = config.flip && view_stream(key, RandomPurpose::kFlip).uniform() < 0.5F;
  if (config.color && config.color_strength > 0) {
    sample_jitter(view_stream(key, RandomPurpose::kColorJitter),
                  static_cast<float>(config.color_strength), config.additive_brightness, view);
  }
  view.gray = config.gray && view_stream(key, RandomPurpose::kGray).uniform() < 0.2F;
  if (config.blur) {
    PhiloxStream stream = view_stream(key, RandomPurpose::kBlur);
    view.blur = stream.uniform() < 0.5F;
    view.sigma = stream.uniform(0.1F, 2.0F);
  }
  return view;
}

}  // namespace simclr
