#include "simclr/data/augmentation_work.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <ctime>
#include <vector>

#include "simclr/core/check.hpp"
#include "simclr/data/augmentation_pixels.hpp"
#include "view_job.hpp"

namespace simclr {

namespace {

using augment::Axis;

// Operations a pixel of three channels, counted in augmentation_pixels.hpp.
constexpr double kLumaFlops = 5;
constexpr double kClampFlops = 6;
constexpr double kBrightnessFlops = 3 + kClampFlops;
constexpr double kBlendFlops = 2 + 6 + kClampFlops;
constexpr double kHueFlops = 52;

double resampling_flops(const AugmentationConfig& config, const CropBox& crop) {
  const int side = config.image_size;
  const Axis rows{.in = crop.height, .out = side, .count = side};
  const Axis columns{.in = crop.width, .out = side, .count = side};
  const double vertical = 3.0 * side * crop.width * count_taps(rows, config.interpolation);
  const double horizontal = 3.0 * side * side * count_taps(columns, config.interpolation);
  return 2 * (vertical + horizontal) + kClampFlops * side * side;
}

double color_flops(const AugmentationConfig& config, const ViewParameters& view) {
  double flops = view.gray ? kLumaFlops : 0;
  if (view.jitter) {
    const double contrast = kLumaFlops + kBlendFlops;
    const double saturation = kLumaFlops + kBlendFlops;
    flops += kBrightnessFlops + contrast + saturation + kHueFlops;
  }
  return flops * config.image_size * config.image_size;
}

double blur_flops(const AugmentationConfig& config, const ViewParameters& view) {
  if (!view.blur) return 0;
  // As far as the kernel's weights exceed 1e-8 of the central one.
  const int reach = static_cast<int>(double{view.sigma} * std::sqrt(-2 * std::log(1e-8)));
  const int taps = 2 * std::min(blur_kernel_size(config.image_size) / 2, reach) + 1;
  return 2.0 * 2.0 * 3.0 * taps * config.image_size * config.image_size;
}

/// Best rate of `work` units a call over about `seconds`.
template <class Call>
double best_rate(double seconds, double work, Call call) {
  const double end = thread_seconds() + seconds;
  double best = 0;
  do {
    const double start = thread_seconds();
    call();
    best = std::max(best, work / (thread_seconds() - start));
  } while (thread_seconds() < end);
  return best;
}

}  // namespace

double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

AugmentationWork count_view_work(const AugmentationConfig& config, const ViewParameters& view) {
  const double pixels = double(config.image_size) * config.image_size;
  return {.flops = resampling_flops(config, view.crop) + color_flops(config, view) +
                   blur_flops(config, view),
          .bytes = 3.0 * view.crop.height * view.crop.width + 3.0 * sizeof(float) * pixels};
}

AugmentationLimits measure_augmentation_limits(double seconds) {
  const augment::Kernels& kernels = *augment::available_kernels().first;
  constexpr std::int64_t kRounds = 100000;
  float sink = 0;
  const double flops = best_rate(seconds / 2, double(kRounds) * double(kernels.probe_flops),
                                 [&] { sink += kernels.probe(kRounds); });
  constexpr std::size_t kCopyBytes = std::size_t{128} << 20;
  const std::vector<char> source(kCopyBytes, 1);
  std::vector<char> target(kCopyBytes, 2);
  const double bytes = best_rate(seconds / 2, 2.0 * kCopyBytes, [&] {
    std::memcpy(target.data(), source.data(), kCopyBytes);
    sink += static_cast<float>(target[kCopyBytes / 2]);
  });
  require(std::isfinite(sink), "the probes compute finite values");
  return {.kernels = kernels.name, .flops_per_second = flops, .bytes_per_second = bytes};
}

}  // namespace simclr
