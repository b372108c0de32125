#include "synthetic_batches.hpp"

#include <array>
#include <cmath>
#include <numeric>

#include "simclr/core/random.hpp"

namespace simclr {
namespace {

constexpr std::int64_t kBatches = 4;
constexpr std::int64_t kViews = 2;  // of an image

std::size_t as_size(std::int64_t count) { return static_cast<std::size_t>(count); }

}  // namespace

int usual_stored_side(int image_size) {
  constexpr int kStoredAsTheyAre = 32;
  if (image_size <= kStoredAsTheyAre) return image_size;
  return static_cast<int>(std::lround(image_size * 256 / 224.0));
}

std::pmr::vector<std::uint8_t> synthetic_pixels(std::int64_t images, int side,
                                                std::pmr::memory_resource* memory) {
  // A prime: the noise never falls on the same columns again.
  std::array<std::uint8_t, 65521> noise{};
  PhiloxStream stream(1, RandomPurpose::kShuffle, 0, 0);
  for (auto& value : noise) value = static_cast<std::uint8_t>(stream.below(128));
  std::pmr::vector<std::uint8_t> pixels(as_size(images * side * side * 3), memory);
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    pixels[i] = static_cast<std::uint8_t>(i / 97 % 128 + noise[i % noise.size()]);
  }
  return pixels;
}

SyntheticBatches::SyntheticBatches(const AugmentationConfig& config, int stored_side,
                                   std::int64_t samples, std::pmr::memory_resource* memory)
    : samples_(samples),
      image_bytes_(std::int64_t{3} * stored_side * stored_side),
      pixels_(synthetic_pixels(kBatches * samples, stored_side, memory)),
      indices_(as_size(kBatches * samples)) {
  std::iota(indices_.begin(), indices_.end(), std::int64_t{0});
  for (const std::int64_t i : indices_) {
    images_.push_back({pixels_.data() + i * image_bytes_, stored_side, stored_side});
  }
  for (std::int64_t batch = 0; batch < kBatches; ++batch) {
    for (std::int64_t view = 0; view < kViews; ++view) {
      for (std::int64_t i = 0; i < samples; ++i) {
        const ViewKey key{
            .seed = 1, .sample = batch * samples + i, .view = static_cast<std::uint32_t>(view)};
        parameters_.push_back(sample_view_parameters(config, key, stored_side, stored_side));
      }
    }
  }
}

std::span<const ViewParameters> SyntheticBatches::parameters(std::int64_t k) const {
  const std::int64_t views = kViews * samples_;
  return std::span(parameters_).subspan(as_size(k % kBatches * views), as_size(views));
}

InputBatch SyntheticBatches::with_images(std::int64_t k) const {
  const std::size_t first = as_size(k % kBatches * samples_);
  return {.parameters = parameters(k),
          .images = std::span(images_).subspan(first, as_size(samples_))};
}

InputBatch SyntheticBatches::with_samples(std::int64_t k) const {
  const std::size_t first = as_size(k % kBatches * samples_);
  return {.parameters = parameters(k),
          .samples = std::span(indices_).subspan(first, as_size(samples_))};
}

}  // namespace simclr
