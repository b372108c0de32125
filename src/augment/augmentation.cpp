#include "simclr/augment/augmentation.hpp"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "aligned_buffer.hpp"
#include "simclr/augment/augmentation_parameters.hpp"
#include "simclr/augment/pixels.hpp"
#include "simclr/augment/view_geometry.hpp"
#include "simclr/core/check.hpp"
#include "view_job.hpp"

namespace simclr {

namespace {

using augment::Axis;

/// Evaluation images up to this size are used as they are.
constexpr int kLargestSideKept = 32;

void check_config(const AugmentationConfig& config) {
  if (config.image_size < kSmallestImageSize || config.image_size > kLargestImageSize) {
    refuse("image-size {} is outside [{}, {}]", config.image_size, kSmallestImageSize,
           kLargestImageSize);
  }
  if (!(config.color_strength >= 0 && config.color_strength <= kMostColorStrength)) {
    refuse("color-strength {} is outside [0, {}]", config.color_strength, kMostColorStrength);
  }
  if (config.mean.has_value() != config.std.has_value()) {
    refuse("mean and std go together: give both or neither");
  }
  if (config.std && !std::ranges::all_of(*config.std, [](float std) { return std > 0; })) {
    refuse("std must be positive in every channel");
  }
}

int round_up(int count, int multiple) { return (count + multiple - 1) / multiple * multiple; }

}  // namespace

struct Augmenter::Impl {
  AugmentationConfig config;
  augment::Kernels kernels{};

  struct TapBuffers {
    augment::AlignedBuffer<std::int32_t> start;
    augment::AlignedBuffer<float> weight;

    augment::TapTable reserve(const Axis& axis, int taps) {
      const int stride = round_up(axis.count, augment::kMaxLanes);
      const auto outputs = static_cast<std::size_t>(stride);
      return {.taps = taps,
              .stride = stride,
              .start = start.reserve(outputs),
              .weight = weight.reserve(outputs * static_cast<std::size_t>(taps))};
    }
  };
  TapBuffers row_taps, column_taps;
  augment::AlignedBuffer<float> window, strips, rows;

  augment::Workspace reserve(const augment::ViewJob& job) {
    const auto taps = [&](const Axis& axis) {
      return job.resample ? count_taps(axis, job.interpolation) : 1;
    };
    const auto side = static_cast<std::size_t>(config.image_size);
    augment::Workspace work;
    work.row_taps = row_taps.reserve(job.rows, taps(job.rows));
    work.column_taps = column_taps.reserve(job.columns, taps(job.columns));
    work.margin = config.blur ? blur_kernel_size(config.image_size) / 2 : 0;
    const auto pitch = side + 2 * static_cast<std::size_t>(work.margin);
    const auto padded = static_cast<std::size_t>(round_up(config.image_size, augment::kMaxLanes));
    const int window_vectors = std::max(job.columns.in * 3, augment::kMaxLanes);
    work.window = window.reserve(static_cast<std::size_t>(window_vectors) * augment::kMaxLanes);
    work.strips = strips.reserve(padded * pitch * 3);
    if (config.blur) work.rows = rows.reserve(side * side * 3);
    return work;
  }

  void run(const augment::ViewJob& job, std::span<float> out) {
    const auto side = static_cast<std::size_t>(config.image_size);
    require(out.size() == side * side * 3, "view buffer is image_size x image_size x 3");
    kernels.render(job, reserve(job), out.data());
    if (config.mean) {
      for (std::size_t i = 0; i < out.size(); i += 3) {
        for (std::size_t c = 0; c < 3; ++c) {
          out[i + c] = (out[i + c] - (*config.mean)[c]) / (*config.std)[c];
        }
      }
    }
  }
};

Augmenter::Augmenter(const AugmentationConfig& config, const augment::Kernels* kernels)
    : impl_(std::make_unique<Impl>()) {
  check_config(config);
  impl_->config = config;
  impl_->kernels = kernels != nullptr ? *kernels : *augment::available_kernels().first;
}
Augmenter::Augmenter(Augmenter&&) noexcept = default;
Augmenter& Augmenter::operator=(Augmenter&&) noexcept = default;
Augmenter::~Augmenter() = default;

void Augmenter::render(const ImageRef& image, const ViewKey& key, std::span<float> out) {
  require(key.sample >= 0 && key.sample < kMaxAugmentedSamples, "sample index fits the counters");
  require(key.epoch < kMaxAugmentedEpochs && key.view < 2, "epoch and view fit the counters");
  render(image, sample_view_parameters(impl_->config, key, image.height, image.width), out);
}

void Augmenter::render(const ImageRef& image, const ViewParameters& parameters,
                       std::span<float> out) {
  const AugmentationConfig& config = impl_->config;
  const augment::ViewGeometry geometry =
      augment::view_geometry(config, image.height, image.width, parameters);
  augment::ViewJob job;
  job.pixels = image.pixels + geometry.first_byte;
  job.row_bytes = geometry.row_bytes;
  job.rows = geometry.rows;
  job.columns = geometry.columns;
  job.resample = geometry.resample;
  job.interpolation = config.interpolation;
  job.additive_brightness = config.additive_brightness;
  job.parameters = parameters;
  require(!parameters.blur || config.blur,
          "a view is blurred only where the configuration says so");
  impl_->run(job, out);
}

void Augmenter::render_evaluation(const ImageRef& image, std::span<float> out) {
  const int side = impl_->config.image_size;
  require(image.height > 0 && image.width > 0, "image is not empty");
  augment::ViewJob job;
  job.pixels = image.pixels;
  job.row_bytes = std::ptrdiff_t{image.width} * 3;
  if (side <= kLargestSideKept && image.height == side && image.width == side) {
    job.resample = false;
    job.rows = job.columns = {.in = side, .out = side, .count = side};
  } else {
    std::tie(job.rows, job.columns) = augment::evaluation_axes(image.height, image.width, side);
  }
  impl_->run(job, out);
}

}  // namespace simclr
