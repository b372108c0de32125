#pragma once
// Training views and evaluation images from stored pixels. Semantics: torchvision's functional ops;
// every random number is a pure function of (seed, epoch, sample, view, op).

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

namespace simclr {

enum class Interpolation : std::uint8_t { bilinear, bicubic };

struct AugmentationConfig {
  bool crop = true, flip = true, color = true, gray = true, blur = true;
  double color_strength = 1.0;
  bool additive_brightness = false;  ///< simclr-v1: brightness adds U(-0.8s, 0.8s)
  Interpolation interpolation = Interpolation::bicubic;
  int image_size = 224;
  /// Applied last, if given: (x - mean) / std per channel.
  std::optional<std::array<float, 3>> mean, std;
};

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

/// Renders views; owns scratch memory, so each thread has its own.
class Augmenter {
 public:
  explicit Augmenter(const AugmentationConfig& config);
  Augmenter(Augmenter&&) noexcept;
  Augmenter& operator=(Augmenter&&) noexcept;
  ~Augmenter();

  /// out: f32 (image_size, image_size, 3), values in [0,1] (before mean/std).
  void render(const ImageRef& image, const ViewKey& key, std::span<float> out);
  /// The evaluation image: as it is when exactly S x S with S <= 32; else short side resized to
  /// round(S*256/224) (bicubic, antialias) and the central S x S crop.
  void render_evaluation(const ImageRef& image, std::span<float> out);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace simclr
