#include "simclr/augment/view_parameters.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "simclr/augment/augmentation_parameters.hpp"

namespace simclr {
namespace {

constexpr double kMinAspect = 3.0 / 4.0;
constexpr double kMaxAspect = 4.0 / 3.0;

/// A view that both views of an image share.
constexpr std::uint32_t kSharedView = 2;

/// Halves to even, as Python's round().
int rounded(double value) { return static_cast<int>(std::rint(value)); }

/// An offset uniform in [0, below), 0 if there is no room.
[[gnu::always_inline]] inline int sample_offset(PhiloxStream& stream, int below) {
  return below > 0 ? static_cast<int>(stream.below(static_cast<std::uint32_t>(below))) : 0;
}

/// torchvision's RandomResizedCrop.get_params: area U(smallest, largest) of the image, log aspect
/// U(log 3/4, log 4/3), ten tries, else the central crop of the nearest allowed aspect.
CropBox sample_crop(const ViewKey& key, RandomPurpose purpose, const OpParameters& parameters,
                    int height, int width) {
  constexpr double kLogMaxAspect = 0.28768207245178093;
  PhiloxStream stream = view_stream(key, purpose);
  const double smallest = parameters.crop_min_area;
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double share =
        smallest + (parameters.crop_max_area - smallest) * double{stream.uniform()};
    const double aspect = std::exp(kLogMaxAspect * (2.0 * double{stream.uniform()} - 1.0));
    const double area = share * height * width;
    const int crop_width = rounded(std::sqrt(area * aspect));
    const int crop_height = rounded(std::sqrt(area / aspect));
    if (0 < crop_width && crop_width <= width && 0 < crop_height && crop_height <= height) {
      const int top = sample_offset(stream, height - crop_height + 1);
      const int left = sample_offset(stream, width - crop_width + 1);
      return {top, left, crop_height, crop_width};
    }
  }
  const double aspect = static_cast<double>(width) / height;
  int crop_height = height;
  int crop_width = width;
  if (aspect < kMinAspect) {
    crop_height = rounded(width / kMinAspect);
  } else if (aspect > kMaxAspect) {
    crop_width = rounded(height * kMaxAspect);
  }
  return {(height - crop_height) / 2, (width - crop_width) / 2, crop_height, crop_width};
}

/// TensorFlow's sample_distorted_bounding_box for the whole image as object (kernel
/// GenerateRandomCrop): aspect U(3/4, 4/3), height uniform among those whose box has an allowed
/// area and fits, up to a hundred tries, else the whole image. Boxes of less than a tenth of the
/// image do not cover enough of the object.
CropBox sample_tf_crop(const ViewKey& key, RandomPurpose purpose, const OpParameters& parameters,
                       int height, int width) {
  constexpr double kLeastCovered = 0.1;
  PhiloxStream stream = view_stream(key, purpose);
  const double area = double(height) * width;
  for (int attempt = 0; attempt < 100; ++attempt) {
    const double aspect = kMinAspect + (kMaxAspect - kMinAspect) * double{stream.uniform()};
    const auto height_of = [&](double share) { return rounded(std::sqrt(share * area / aspect)); };
    int most = std::min(height, height_of(parameters.crop_max_area));
    while (most > 0 && rounded(most * aspect) > width) --most;
    const int least = std::min(most, height_of(parameters.crop_min_area));
    const int crop_height = least + sample_offset(stream, most - least + 1);
    const int crop_width = rounded(crop_height * aspect);
    const double covered = double(crop_height) * crop_width;
    const bool fits =
        crop_height > 0 && crop_height <= height && crop_width > 0 && crop_width <= width;
    if (!fits || covered < std::max(kLeastCovered, parameters.crop_min_area) * area ||
        covered > parameters.crop_max_area * area) {
      continue;
    }
    const int top = sample_offset(stream, height - crop_height);
    const int left = sample_offset(stream, width - crop_width);
    return {top, left, crop_height, crop_width};
  }
  return {0, 0, height, width};
}

inline CropBox sample_box(const AugmentationConfig& config, const ViewKey& key,
                          RandomPurpose purpose, int height, int width) {
  const bool tf = config.semantics != AugmentSemantics::torchvision;
  return tf ? sample_tf_crop(key, purpose, config.parameters, height, width)
            : sample_crop(key, purpose, config.parameters, height, width);
}

/// Color jitter of strength s: factors U(max(0, 1-a s), 1+a s) and hue U(-h s, h s) with the
/// parameters' changes a and h, in random order.
[[gnu::always_inline]] inline void sample_jitter(PhiloxStream& stream,
                                                 const AugmentationConfig& config,
                                                 ViewParameters& view) {
  const auto strength = static_cast<float>(config.color_strength);
  const OpParameters& largest = config.parameters;
  for (std::uint32_t last = 3; last > 0; --last) {  // Fisher-Yates
    std::swap(view.order[last], view.order[stream.below(last + 1)]);
  }
  const auto factor = [&](double change) {
    const float reach = static_cast<float>(change) * strength;
    const float low = reach < 1.0F ? 1.0F - reach : 0.0F;
    return stream.uniform(low, 1.0F + reach);
  };
  const auto addend = [&](double change) {
    const float reach = static_cast<float>(change) * strength;
    return stream.uniform(-reach, reach);
  };
  view.brightness = config.adds_brightness() ? addend(largest.color_brightness)
                                             : factor(largest.color_brightness);
  view.contrast = factor(largest.color_contrast);
  view.saturation = factor(largest.color_saturation);
  view.hue = addend(largest.color_hue);
}

/// A square of the parameters' size around a pixel of the view.
CropBox sample_cutout(PhiloxStream& stream, const AugmentationConfig& config) {
  const int side = rounded(config.parameters.cutout_size * config.image_size);
  const int row = sample_offset(stream, config.image_size);
  const int column = sample_offset(stream, config.image_size);
  return {row - side / 2, column - side / 2, side, side};
}

/// Draws what each operation of a list does to a view. The first number of an operation's stream
/// decides whether the view gets it; that of crop, whose numbers are older, has a stream of its
/// own. Every stream is a local variable, which compilers keep in registers.
class Sampler {
 public:
  Sampler(const AugmentationConfig& config, const ViewKey& key, ViewParameters& view)
      : config_(config), parameters_(config.parameters), key_(key), view_(view) {}

  void base_crop(int height, int width) {
    const ViewKey shared{key_.seed, key_.epoch, key_.sample, kSharedView};
    begin_with(sample_box(config_, shared, RandomPurpose::kBaseCrop, height, width));
  }

  /// The stored image has this height and width.
  void first_crop(float probability, int height, int width) {
    if (!crops(probability)) return;
    begin_with(sample_box(config_, key_, RandomPurpose::kCrop, height, width));
  }

  void sample(AugmentOp op, float probability) {
    switch (op) {
      case AugmentOp::crop:
        return crop(probability);
      case AugmentOp::flip:
        return simple(op, RandomPurpose::kFlip, probability);
      case AugmentOp::color:
        return color(probability);
      case AugmentOp::gray:
        return simple(op, RandomPurpose::kGray, probability);
      case AugmentOp::blur:
        return blur(probability);
      case AugmentOp::cutout:
        return cutout(probability);
      case AugmentOp::rotate:
        return rotate(probability);
      case AugmentOp::noise:
        return noise(probability);
      case AugmentOp::sobel:
        return simple(op, RandomPurpose::kSobel, probability);
      case AugmentOp::solarize:
        view_.threshold = static_cast<float>(parameters_.solarize_threshold);
        return simple(op, RandomPurpose::kSolarize, probability);
      case AugmentOp::equalize:
        return simple(op, RandomPurpose::kEqualize, probability);
    }
  }

 private:
  void add_if(bool drawn, AugmentOp op) {
    if (drawn) view_.add(op);
  }
  void begin_with(const CropBox& box) {
    view_.base = box;
    view_.has_base = true;
  }
  [[nodiscard]] bool crops(float probability) const {
    return probability >= 1 ||
           view_stream(key_, RandomPurpose::kCropChance).uniform() < probability;
  }

  /// An operation that nothing but the chance decides.
  void simple(AugmentOp op, RandomPurpose purpose, float probability) {
    add_if(view_stream(key_, purpose).uniform() < probability, op);
  }

  void crop(float probability) {
    if (!crops(probability)) return;
    const int side = config_.image_size;
    view_.crop = sample_box(config_, key_, RandomPurpose::kCrop, side, side);
    view_.add(AugmentOp::crop);
  }

  void color(float probability) {
    if (config_.color_strength == 0) return;
    PhiloxStream stream = view_stream(key_, RandomPurpose::kColorJitter);
    const bool drawn = stream.uniform() < probability;
    sample_jitter(stream, config_, view_);
    add_if(drawn, AugmentOp::color);
  }

  void blur(float probability) {
    PhiloxStream stream = view_stream(key_, RandomPurpose::kBlur);
    const bool drawn = stream.uniform() < probability;
    view_.sigma = stream.uniform(static_cast<float>(parameters_.blur_min_sigma),
                                 static_cast<float>(parameters_.blur_max_sigma));
    add_if(drawn, AugmentOp::blur);
  }

  void cutout(float probability) {
    PhiloxStream stream = view_stream(key_, RandomPurpose::kCutout);
    const bool drawn = stream.uniform() < probability;
    view_.cutout = sample_cutout(stream, config_);
    add_if(drawn, AugmentOp::cutout);
  }

  void rotate(float probability) {
    PhiloxStream stream = view_stream(key_, RandomPurpose::kRotate);
    const bool drawn = stream.uniform() < probability;
    view_.quarter_turns = static_cast<int>(stream.below(4));
    add_if(drawn && view_.quarter_turns != 0, AugmentOp::rotate);
  }

  void noise(float probability) {
    PhiloxStream stream = view_stream(key_, RandomPurpose::kNoise);
    const bool drawn = stream.uniform() < probability;
    view_.noise_sigma = stream.uniform(static_cast<float>(parameters_.noise_min_sigma),
                                       static_cast<float>(parameters_.noise_max_sigma));
    view_.noise = {key_.seed, static_cast<std::uint32_t>(RandomPurpose::kNoise),
                   static_cast<std::uint32_t>(key_.sample), key_.epoch * 2 + key_.view};
    add_if(drawn, AugmentOp::noise);
  }

  const AugmentationConfig& config_;
  const OpParameters& parameters_;
  const ViewKey& key_;
  ViewParameters& view_;
};

}  // namespace

ViewParameters sample_view_parameters(const AugmentationConfig& config, const ViewKey& key,
                                      int height, int width) {
  ViewParameters view;
  Sampler sampler(config, key, view);
  if (config.base_crop) sampler.base_crop(height, width);
  bool first = !config.base_crop;
  for (const auto& [op, probability] : config.ops_of(key.view)) {
    if (first && op == AugmentOp::crop) {
      sampler.first_crop(probability, height, width);
    } else {
      sampler.sample(op, probability);
    }
    first = false;
  }
  return view;
}

}  // namespace simclr
