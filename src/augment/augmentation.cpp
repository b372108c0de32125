#include "simclr/augment/augmentation.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "simclr/augment/augmentation_parameters.hpp"
#include "simclr/augment/pixels.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/instruction_set.hpp"
#include "simclr/tensor/host_buffer.hpp"
#include "view_job.hpp"

namespace simclr {

SIMCLR_DECLARE_IN_EACH_ISA(void render(const augment::ViewJob&, const augment::Workspace&, void*))

namespace {

using augment::Axis;

/// At least `count` values of the buffer, which grows and never shrinks.
template <class T>
T* space_for(HostBuffer& buffer, std::size_t count) {
  if (count > buffer.size()) buffer = HostBuffer(dtype_of<T>, count);
  return buffer.values<T>().data();
}

/// Evaluation images up to this size are used as they are.
constexpr int kLargestSideKept = 32;

void check_config(const AugmentationConfig& config) {
  if (config.image_size < kSmallestImageSize || config.image_size > kLargestImageSize) {
    refuse("option --image-size: {} is outside [{}, {}]", config.image_size, kSmallestImageSize,
           kLargestImageSize);
  }
  if (!(config.color_strength >= 0 && config.color_strength <= kMostColorStrength)) {
    refuse("option --color-strength: {} is outside [0, {}]", config.color_strength,
           kMostColorStrength);
  }
  if (config.mean.has_value() != config.std.has_value()) {
    refuse("options --mean and --std: go together; give both or none");
  }
  if (config.std && !std::ranges::all_of(*config.std, [](float std) { return std > 0; })) {
    refuse("option --std: must be positive in every channel");
  }
}

/// Rows and columns of the evaluation image: the short side becomes round(S*256/224) pixels, the
/// long side in proportion (truncated, as torchvision), and of that the central S x S pixels.
std::pair<Axis, Axis> evaluation_axes(int height, int width, int side) {
  const auto target = static_cast<int>(std::lround(side * 256.0 / 224.0));
  const auto axis = [&](int length) {
    const int out = static_cast<int>(std::int64_t{target} * length / std::min(height, width));
    return Axis{.in = length,
                .out = out,
                .first = static_cast<int>(std::rint((out - side) / 2.0)),
                .count = side};
  };
  return {axis(height), axis(width)};
}

/// A period of three channels, as long as Normalization asks for.
using Channels = std::array<float, augment::kMaxLanes + 2>;
Channels repeat(const std::array<float, 3>& values) {
  Channels channels{};
  for (std::size_t i = 0; i < channels.size(); ++i) channels[i] = values[i % 3];
  return channels;
}

int round_up(int count, int multiple) { return (count + multiple - 1) / multiple * multiple; }

}  // namespace

augment::KernelList augment::available_kernels() {
  static const std::vector<Kernels> available = [] {
    const std::array render = SIMCLR_FROM_EACH_ISA(render);
    std::vector<Kernels> kernels;
    for (auto set = static_cast<int>(instruction_set()); set >= 0; --set) {
      kernels.push_back({name_of(static_cast<InstructionSet>(set)), render.at(set)});
    }
    return kernels;
  }();
  return {available.data(), static_cast<int>(available.size())};
}

AugmentationConfig simclr_augmentation(int image_size) {
  return {.crop = true,
          .flip = true,
          .color = true,
          .gray = true,
          .blur = true,
          .image_size = image_size};
}

AugmentationConfig linear_evaluation_augmentation(int image_size) {
  return {.crop = true, .flip = true, .image_size = image_size};
}

int augment::count_taps(const Axis& axis, Interpolation interpolation) {
  const double stretch = std::max(1.0, static_cast<double>(axis.in) / axis.out);
  const double support = (interpolation == Interpolation::bicubic ? 2.0 : 1.0) * stretch;
  return std::min(axis.in, static_cast<int>(std::ceil(2 * support)));
}

struct Augmenter::Impl {
  AugmentationConfig config;
  augment::Kernels kernels{};
  Channels mean{}, std{};

  struct TapBuffers {
    HostBuffer start{DType::i32}, weight;

    augment::TapTable reserve(const Axis& axis, int taps) {
      const int stride = round_up(axis.count, augment::kMaxLanes);
      const auto outputs = static_cast<std::size_t>(stride);
      return {.taps = taps,
              .stride = stride,
              .start = space_for<std::int32_t>(start, outputs),
              .weight = space_for<float>(weight, outputs * static_cast<std::size_t>(taps))};
    }
  };
  TapBuffers row_taps, column_taps;
  HostBuffer window, strips, rows;

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
    work.window =
        space_for<float>(window, static_cast<std::size_t>(window_vectors) * augment::kMaxLanes);
    work.strips = space_for<float>(strips, padded * pitch * 3);
    if (config.blur) work.rows = space_for<float>(rows, side * side * 3);
    return work;
  }

  void run(augment::ViewJob job, BufferSpan out) {
    const auto side = static_cast<std::size_t>(config.image_size);
    require(out.count == side * side * 3, "view buffer is image_size x image_size x 3");
    require(out.dtype == DType::f32 || out.dtype == DType::bf16 || out.dtype == DType::f16,
            "a view is of a floating-point type");
    job.dtype = out.dtype;
    if (config.mean) job.normalization = {mean.data(), std.data()};
    kernels.render(job, reserve(job), out.data);
  }
};

Augmenter::Augmenter(const AugmentationConfig& config, const augment::Kernels* kernels)
    : impl_(std::make_unique<Impl>()) {
  check_config(config);
  impl_->config = config;
  if (config.mean) {
    impl_->mean = repeat(*config.mean);
    impl_->std = repeat(*config.std);
  }
  impl_->kernels = kernels != nullptr ? *kernels : *augment::available_kernels().first;
}
Augmenter::Augmenter(Augmenter&&) noexcept = default;
Augmenter& Augmenter::operator=(Augmenter&&) noexcept = default;
Augmenter::~Augmenter() = default;

void Augmenter::render(const ImageRef& image, const ViewKey& key, BufferSpan out) {
  require(key.sample >= 0 && key.sample < kMaxAugmentedSamples, "sample index fits the counters");
  require(key.epoch < kMaxAugmentedEpochs && key.view < 2, "epoch and view fit the counters");
  render(image, sample_view_parameters(impl_->config, key, image.height, image.width), out);
}

void Augmenter::render(const ImageRef& image, const ViewParameters& parameters, BufferSpan out) {
  const AugmentationConfig& config = impl_->config;
  const int side = config.image_size;
  const CropBox& crop = parameters.crop;
  require(crop.top >= 0 && crop.left >= 0 && crop.height > 0 && crop.width > 0 &&
              crop.top + crop.height <= image.height && crop.left + crop.width <= image.width,
          "crop lies inside the image");
  augment::ViewJob job;
  job.row_bytes = std::ptrdiff_t{image.width} * 3;
  job.pixels = image.pixels + crop.top * job.row_bytes + std::ptrdiff_t{crop.left} * 3;
  job.resample = crop.height != side || crop.width != side;
  if (config.crop || !job.resample) {
    job.rows = {.in = crop.height, .out = side, .count = side};
    job.columns = {.in = crop.width, .out = side, .count = side};
  } else {
    std::tie(job.rows, job.columns) = evaluation_axes(image.height, image.width, side);
  }
  job.columns.mirrored = parameters.flip;
  job.interpolation = config.interpolation;
  job.additive_brightness = config.additive_brightness;
  job.parameters = parameters;
  require(!parameters.blur || config.blur,
          "a view is blurred only where the configuration says so");
  impl_->run(job, out);
}

void Augmenter::render_evaluation(const ImageRef& image, BufferSpan out) {
  const int side = impl_->config.image_size;
  require(image.height > 0 && image.width > 0, "image is not empty");
  augment::ViewJob job;
  job.pixels = image.pixels;
  job.row_bytes = std::ptrdiff_t{image.width} * 3;
  if (side <= kLargestSideKept && image.height == side && image.width == side) {
    job.resample = false;
    job.rows = job.columns = {.in = side, .out = side, .count = side};
  } else {
    std::tie(job.rows, job.columns) = evaluation_axes(image.height, image.width, side);
  }
  impl_->run(job, out);
}

}  // namespace simclr
