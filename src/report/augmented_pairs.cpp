#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "simclr/augment/augmentation_parameters.hpp"
#include "simclr/comm/communicator.hpp"
#include "simclr/core/check.hpp"
#include "simclr/data/loader.hpp"
#include "simclr/report/report.hpp"
#include "simclr/train/encoder_training.hpp"

namespace simclr {
namespace {

// Sizes in pixels.
constexpr int kSmallestCell = 96;  // smaller images are enlarged by a whole factor
constexpr int kGap = 6;            // within a group
constexpr int kGroupGap = 22;
constexpr int kGroupsPerRow = 3;
constexpr std::uint8_t kBackground = 228;

struct Layout {
  int scale = 1;
  int cell = 0;
  int group_width = 0;
  int columns = 0;
  int rows = 0;

  Layout(int image_size, int groups)
      : scale((kSmallestCell + image_size - 1) / image_size),
        cell(image_size * scale),
        group_width(3 * cell + 2 * kGap),
        columns(std::min(kGroupsPerRow, groups)),
        rows((groups + columns - 1) / columns) {}

  [[nodiscard]] int left(int group) const {
    return kGroupGap + group % columns * (group_width + kGroupGap);
  }
  [[nodiscard]] int top(int group) const {
    return kGroupGap + group / columns * (cell + kGroupGap);
  }
  [[nodiscard]] Image canvas() const {
    Image image;
    image.width = left(columns - 1) + group_width + kGroupGap;
    image.height = kGroupGap + rows * (cell + kGroupGap);
    image.pixels.assign(
        static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height) * 3,
        kBackground);
    return image;
  }
};

/// Paints a view, f32 (side, side, 3) in [0, 1]; every pixel becomes scale x scale pixels.
void paint(Image& canvas, int top, int left, std::span<const float> view, int side, int scale) {
  for (int y = 0; y < side * scale; ++y) {
    for (int x = 0; x < side * scale; ++x) {
      const float* from = view.data() + (std::ptrdiff_t{y / scale} * side + x / scale) * 3;
      std::uint8_t* to =
          canvas.pixels.data() + (std::ptrdiff_t{top + y} * canvas.width + left + x) * 3;
      for (int c = 0; c < 3; ++c) {
        to[c] = static_cast<std::uint8_t>(std::lround(std::clamp(from[c], 0.0F, 1.0F) * 255.0F));
      }
    }
  }
}

ViewParameters central_square(const ImageRef& image) {
  const int side = std::min(image.height, image.width);
  ViewParameters parameters;
  parameters.base = {(image.height - side) / 2, (image.width - side) / 2, side, side};
  parameters.has_base = true;
  return parameters;
}

/// Decodes a sample; an error names it.
ImageRef decode(ImageDecoder& decoder, const StoredImage& image, const SampleStore& store,
                std::int64_t sample) {
  try {
    return decoder.decode(image);
  } catch (const Error& error) {
    fail("{}: {}", store.place_of(sample), error.what());
  }
}

}  // namespace

Image augmented_pairs(const EncoderTraining& config, std::int64_t groups) {
  const auto alone = make_self_communicator();
  // Reads the few samples without loading the whole set.
  const auto store = open_sample_store(config.data, CacheMode::none, *alone, 1);
  const std::int64_t batch_size = std::min(config.batch_size, store->info().samples);
  Sampler sampler(store->info().samples, config.shuffle, config.seed, batch_size);
  std::vector<std::int64_t> samples = sampler.batch(0);
  samples.resize(static_cast<std::size_t>(std::min(groups, batch_size)));
  const std::vector<StoredImage> stored = store->fetch(samples, 0);

  AugmentationConfig augmentation = config.augmentation();
  augmentation.mean.reset();
  augmentation.std.reset();
  Augmenter original(
      {.interpolation = augmentation.interpolation, .image_size = augmentation.image_size});
  Augmenter augmenter(augmentation);
  ImageDecoder decoder;
  const int side = augmentation.image_size;
  const Layout layout(side, static_cast<int>(samples.size()));
  Image canvas = layout.canvas();
  std::vector<float> view(static_cast<std::size_t>(side) * static_cast<std::size_t>(side) * 3);
  const BufferSpan out = buffer_span(std::span(view));
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const ImageRef image = decode(decoder, stored[i], *store, samples[i]);
    const auto group = static_cast<int>(i);
    int left = layout.left(group);
    original.render(image, central_square(image), out);
    paint(canvas, layout.top(group), left, view, side, layout.scale);
    for (std::uint32_t v = 0; v < 2; ++v) {
      left += layout.cell + kGap;
      const ViewKey key{.seed = config.seed, .epoch = 0, .sample = samples[i], .view = v};
      augmenter.render(image, key, out);
      paint(canvas, layout.top(group), left, view, side, layout.scale);
    }
  }
  return canvas;
}

}  // namespace simclr
