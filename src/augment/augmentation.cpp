#include "simclr/augment/augmentation.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
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
using augment::count_taps;
using augment::Resampling;
using augment::ResamplingFilter;

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
  if (config.additive_brightness && config.semantics == AugmentSemantics::tf_v2) {
    refuse(
        "options --additive-brightness and --augment-semantics: tf-v2 multiplies the brightness; "
        "leave one of them out");
  }
  if (config.mean.has_value() != config.std.has_value()) {
    refuse("options --mean and --std: go together; give both or none");
  }
  if (config.std && !std::ranges::all_of(*config.std, [](float std) { return std > 0; })) {
    refuse("option --std: must be positive in every channel");
  }
}

/// Both axes of a resampling and how many taps they need.
Resampling resample(const Axis& rows, const Axis& columns, ResamplingFilter filter) {
  return {.rows = rows,
          .columns = columns,
          .filter = filter,
          .row_taps = count_taps(rows, filter),
          .column_taps = count_taps(columns, filter)};
}

Resampling copy_of(int side) {
  const Axis axis{.in = side, .out = side, .count = side};
  return {.rows = axis, .columns = axis, .copies = true};
}

/// Makes side x side pixels of a box, which is copied if it has that size.
Resampling resample_box(const CropBox& box, int side, ResamplingFilter filter) {
  if (box.height == side && box.width == side) return copy_of(side);
  return resample({.in = box.height, .out = side, .count = side},
                  {.in = box.width, .out = side, .count = side}, filter);
}

/// Makes the evaluation image: the short side becomes round(S*256/224) pixels, the long side in
/// proportion (truncated, as torchvision), and of that the central S x S pixels.
Resampling evaluation_resampling(const ImageRef& image, int side, ResamplingFilter filter) {
  const auto target = static_cast<int>(std::lround(side * 256.0 / 224.0));
  const int least = std::min(image.height, image.width);
  const auto axis = [&](int length) {
    const int out = static_cast<int>(std::int64_t{target} * length / least);
    return Axis{.in = length,
                .out = out,
                .first = static_cast<int>(std::rint((out - side) / 2.0)),
                .count = side};
  };
  return resample(axis(image.height), axis(image.width), filter);
}

void require_inside(const CropBox& box, int height, int width) {
  require(box.top >= 0 && box.left >= 0 && box.height > 0 && box.width > 0 &&
              box.top + box.height <= height && box.left + box.width <= width,
          "a crop lies inside the image");
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

AugmentationList usual_ops(std::initializer_list<AugmentOp> ops) {
  AugmentationList list;
  for (const AugmentOp op : ops) list.push_back({op, usual_probability(op)});
  return list;
}

AugmentationConfig simclr_augmentation(int image_size) {
  return {.ops = usual_ops({AugmentOp::crop, AugmentOp::flip, AugmentOp::color, AugmentOp::gray,
                            AugmentOp::blur}),
          .image_size = image_size};
}

AugmentationConfig linear_evaluation_augmentation(int image_size) {
  return {.ops = usual_ops({AugmentOp::crop, AugmentOp::flip}), .image_size = image_size};
}

int augment::count_taps(const Axis& axis, ResamplingFilter filter) {
  const bool antialiased = filter.semantics == AugmentSemantics::torchvision;
  const double stretch = antialiased ? std::max(1.0, static_cast<double>(axis.in) / axis.out) : 1.0;
  const double support = (filter.interpolation == Interpolation::bicubic ? 2.0 : 1.0) * stretch;
  return std::min(axis.in, static_cast<int>(std::ceil(2 * support)));
}

struct Augmenter::Impl {
  AugmentationConfig config;
  augment::Kernels kernels{};
  Channels mean{}, std{};

  struct TapBuffers {
    HostBuffer start{DType::i32}, weight;

    augment::TapTable reserve(int outputs, int taps) {
      const int stride = round_up(outputs, augment::kMaxLanes);
      const auto places = static_cast<std::size_t>(stride);
      return {.taps = taps,
              .stride = stride,
              .start = space_for<std::int32_t>(start, places),
              .weight = space_for<float>(weight, places * static_cast<std::size_t>(taps))};
    }
  };
  TapBuffers row_taps, column_taps;
  HostBuffer window, strips, turned, rows, more_rows, image;

  augment::Workspace reserve(const augment::ViewJob& job) {
    const ViewParameters& view = job.parameters;
    const bool crops = view.applies(AugmentOp::crop);
    const bool blurs = view.applies(AugmentOp::blur);
    const bool sobel = view.applies(AugmentOp::sobel);
    const auto side = static_cast<std::size_t>(job.side);
    augment::Workspace work;
    work.row_taps = row_taps.reserve(job.side, std::max(job.base.row_taps, job.crop.row_taps));
    work.column_taps =
        column_taps.reserve(job.side, std::max(job.base.column_taps, job.crop.column_taps));
    work.margin = std::max(blurs ? blur_kernel_size(job.side) / 2 : 0, sobel ? 1 : 0);
    const auto pitch = side + 2 * static_cast<std::size_t>(work.margin);
    const auto padded = static_cast<std::size_t>(round_up(job.side, augment::kMaxLanes));
    const int columns = std::max(job.base.columns.in, job.side);
    const int window_vectors = std::max(columns * 3, augment::kMaxLanes);
    work.window =
        space_for<float>(window, static_cast<std::size_t>(window_vectors) * augment::kMaxLanes);
    const std::size_t strip_values = padded * pitch * 3;
    const std::size_t values = side * side * 3;
    work.strips = space_for<float>(strips, strip_values);
    if (view.applies(AugmentOp::rotate)) work.turned = space_for<float>(turned, strip_values);
    if (blurs || sobel) work.rows = space_for<float>(rows, values);
    if (sobel) work.more_rows = space_for<float>(more_rows, values);
    if (crops || blurs || sobel) work.image = space_for<float>(image, values);
    return work;
  }

  void run(augment::ViewJob& job, BufferSpan out) {
    const auto side = static_cast<std::size_t>(config.image_size);
    require(out.count == side * side * 3, "view buffer is image_size x image_size x 3");
    require(out.dtype == DType::f32 || out.dtype == DType::bf16 || out.dtype == DType::f16,
            "a view is of a floating-point type");
    job.dtype = out.dtype;
    job.side = config.image_size;
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
  augment::ViewJob job;
  job.row_bytes = std::ptrdiff_t{image.width} * 3;
  job.pixels = image.pixels;
  job.semantics = config.semantics;
  job.additive_brightness = config.adds_brightness();
  job.cutout_fill = static_cast<float>(config.parameters.cutout_fill);
  job.parameters = parameters;
  const augment::ResamplingFilter filter{config.interpolation, config.semantics};
  if (parameters.has_base) {
    const CropBox& box = parameters.base;
    require_inside(box, image.height, image.width);
    job.pixels += box.top * job.row_bytes + std::ptrdiff_t{box.left} * 3;
    job.base = resample_box(box, side, filter);
  } else if (image.height == side && image.width == side) {
    job.base = copy_of(side);
  } else {
    job.base = evaluation_resampling(image, side, {config.interpolation});
  }
  if (parameters.applies(AugmentOp::crop)) {
    const CropBox& box = parameters.crop;
    require_inside(box, side, side);
    job.crop = resample_box(box, side, filter);
    job.crop_offset = (std::ptrdiff_t{box.top} * side + box.left) * 3;
  }
  impl_->run(job, out);
}

void Augmenter::render_evaluation(const ImageRef& image, BufferSpan out) {
  const int side = impl_->config.image_size;
  require(image.height > 0 && image.width > 0, "image is not empty");
  augment::ViewJob job;
  job.pixels = image.pixels;
  job.row_bytes = std::ptrdiff_t{image.width} * 3;
  const bool kept = side <= kLargestSideKept && image.height == side && image.width == side;
  job.base = kept ? copy_of(side) : evaluation_resampling(image, side, {});
  impl_->run(job, out);
}

}  // namespace simclr
