#pragma once
// Training views and evaluation images from stored pixels. docs/augmentation.md defines every
// operation; every random number is a pure function of (seed, epoch, sample, view, op).

#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>

#include "simclr/augment/augmentation_list.hpp"
#include "simclr/augment/view_parameters.hpp"
#include "simclr/tensor/span.hpp"

namespace simclr {

/// Side of a view, pixels.
inline constexpr int kSmallestImageSize = 8;
inline constexpr int kLargestImageSize = 5120;
/// The strength at which the hue turns by up to half a circle.
inline constexpr double kMostColorStrength = 2.5;

struct AugmentationConfig {
  AugmentationList ops;                        ///< of both views
  std::optional<AugmentationList> second_ops;  ///< of view 1, if it has its own
  /// Both views begin as one random crop of the image, which they share.
  bool base_crop = false;
  OpParameters parameters;
  AugmentSemantics semantics = AugmentSemantics::torchvision;
  double color_strength = 1.0;
  bool additive_brightness = false;  ///< simclr-v1: brightness adds U(-0.8s, 0.8s)
  Interpolation interpolation = Interpolation::bicubic;
  int image_size = 224;
  /// Applied last, if given: (x - mean) / std per channel.
  std::optional<std::array<float, 3>> mean, std;
  bool operator==(const AugmentationConfig&) const = default;

  [[nodiscard]] const AugmentationList& ops_of(std::uint32_t view) const {
    return view == 1 && second_ops ? *second_ops : ops;
  }
  [[nodiscard]] bool adds_brightness() const {
    return additive_brightness || semantics == AugmentSemantics::tf_v1;
  }
};

/// Operations with their usual probabilities.
AugmentationList usual_ops(std::initializer_list<AugmentOp> ops);
/// SimCLR's views for pretraining: crop, flip, color, gray, blur.
AugmentationConfig simclr_augmentation(int image_size = 224);
/// Views on which a linear classifier is trained: random crops, flipped or not.
AugmentationConfig linear_evaluation_augmentation(int image_size = 224);

/// Borrowed pixels (height, width, 3), RGB.
struct ImageRef {
  const std::uint8_t* pixels = nullptr;
  int height = 0;
  int width = 0;
};

struct ViewKey {
  std::uint64_t seed = 0;
  std::uint32_t epoch = 0;
  std::int64_t sample = 0;  ///< global index in the data set
  std::uint32_t view = 0;   ///< 0 or 1
};

namespace augment {
struct Kernels;
}

/// Renders views; owns scratch memory, so each thread has its own. The bits of a view depend on the
/// processor's instruction set (by rounding only), never on the number of threads.
class Augmenter {
 public:
  /// Refuses an image size outside [8, 5120], a color strength outside [0, 2.5], a std of 0,
  /// one of mean and std without the other, and additive brightness where the semantics multiply.
  /// kernels: those of one instruction set instead of the best.
  explicit Augmenter(const AugmentationConfig& config, const augment::Kernels* kernels = nullptr);
  Augmenter(const Augmenter&) = delete;
  Augmenter& operator=(const Augmenter&) = delete;
  Augmenter(Augmenter&&) noexcept;
  Augmenter& operator=(Augmenter&&) noexcept;
  ~Augmenter();

  /// out: (image_size, image_size, 3) of f32, bf16 or f16, values in [0,1] (before mean/std) that
  /// are computed in f32 and rounded last, to nearest even. Without a crop that comes first, an
  /// image of exactly that size stays as it is and any other gets the evaluation image's geometry.
  void render(const ImageRef& image, const ViewKey& key, BufferSpan out);
  /// The same with the random decisions given.
  void render(const ImageRef& image, const ViewParameters& parameters, BufferSpan out);
  /// The evaluation image: as it is when exactly S x S with S <= 32; else short side resized to
  /// round(S*256/224) (bicubic, antialias) and the central S x S crop.
  void render_evaluation(const ImageRef& image, BufferSpan out);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace simclr
