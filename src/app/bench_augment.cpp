// Rates of augmentation on one core, op by op, beside what the core's arithmetic and the memory
// allow.

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <iostream>
#include <nlohmann/json.hpp>
#include <vector>

#include "bench_report.hpp"
#include "command.hpp"
#include "simclr/augment/augmentation.hpp"
#include "simclr/augment/augmentation_work.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/options.hpp"
#include "simclr/core/random.hpp"
#include "simclr/plan/machine_limits.hpp"

namespace simclr {
namespace {

/// Views of as many samples as fit into the caches' neighbourhood, as a loader thread makes them.
constexpr std::int64_t kSamples = 64;

struct Setting {
  std::string ops;
  AugmentationConfig config;
  int stored_side = 0;
};

struct Result {
  double seconds_per_view = 0;  ///< median of the repeats
  AugmentationWork work;        ///< mean of a view
};

struct BenchOptions {
  double seconds = 0.3;
  int repeats = 5;
  Interpolation interpolation = Interpolation::bicubic;
  bool json = false;
};

/// Crop alone, then the ops that follow one by one.
std::vector<Setting> settings(Interpolation interpolation) {
  const auto make = [&](int side, int stored, double strength, int level, const char* ops) {
    AugmentationConfig config;
    config.image_size = side;
    config.color_strength = strength;
    config.interpolation = interpolation;
    config.flip = level > 0;
    config.color = level > 1;
    config.gray = level > 2;
    config.blur = level > 3;
    return Setting{ops, config, stored};
  };
  return {make(32, 32, 0.5, 0, "crop"),
          make(32, 32, 0.5, 2, "crop,flip,color"),
          make(32, 32, 0.5, 3, "crop,flip,color,gray"),
          make(224, 256, 1.0, 0, "crop"),
          make(224, 256, 1.0, 3, "crop,flip,color,gray"),
          make(224, 256, 1.0, 4, "crop,flip,color,gray,blur")};
}

/// Smooth gradients with noise: what the ops cost does not depend on it.
std::vector<std::uint8_t> make_pixels(std::int64_t images, int side) {
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(images * side * side * 3));
  PhiloxStream stream(1, RandomPurpose::kShuffle, 0, 0);
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    pixels[i] = static_cast<std::uint8_t>(i / 97 % 128 + stream.below(128));
  }
  return pixels;
}

/// Processor time of this thread: what neighbours on the same core take is not counted.
double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

Result measure(const Setting& setting, const BenchOptions& options) {
  const int side = setting.stored_side;
  const auto pixels = make_pixels(kSamples, side);
  const std::int64_t image_bytes = std::int64_t{3} * side * side;
  Augmenter augmenter(setting.config);
  const auto values = static_cast<std::size_t>(setting.config.image_size) *
                      static_cast<std::size_t>(setting.config.image_size) * 3;
  std::vector<float> view(values);
  Result result;
  std::int64_t views = 0;
  const auto render_some = [&](double seconds) {
    const double start = thread_seconds();
    std::int64_t made = 0;
    double elapsed = 0;
    do {
      for (int i = 0; i < 8; ++i, ++made, ++views) {
        const ViewKey key{.seed = 1,
                          .epoch = static_cast<std::uint32_t>(views / 2 / kSamples),
                          .sample = views / 2 % kSamples,
                          .view = static_cast<std::uint32_t>(views % 2)};
        augmenter.render({pixels.data() + key.sample * image_bytes, side, side}, key, view);
      }
      elapsed = thread_seconds() - start;
    } while (elapsed < seconds);
    return elapsed / static_cast<double>(made);
  };
  render_some(options.seconds / 10);
  std::vector<double> seconds;
  seconds.reserve(static_cast<std::size_t>(options.repeats));
  for (int i = 0; i < options.repeats; ++i) seconds.push_back(render_some(options.seconds));
  std::nth_element(seconds.begin(), seconds.begin() + options.repeats / 2, seconds.end());
  result.seconds_per_view = seconds[static_cast<std::size_t>(options.repeats / 2)];

  constexpr int kCounted = 2000;
  for (int i = 0; i < kCounted; ++i) {
    const auto work = count_view_work(
        setting.config, sample_view_parameters(setting.config, {.sample = i}, side, side));
    result.work.flops += work.flops / kCounted;
    result.work.bytes += work.bytes / kCounted;
  }
  return result;
}

nlohmann::json to_json(const Setting& setting, const Result& result, double arithmetic_seconds,
                       double memory_seconds) {
  return {{"image_size", setting.config.image_size},
          {"stored_size", setting.stored_side},
          {"ops", setting.ops},
          {"color_strength", setting.config.color_strength},
          {"microseconds_per_view", result.seconds_per_view * 1e6},
          {"views_per_second", 1 / result.seconds_per_view},
          {"arithmetic_limit_microseconds", arithmetic_seconds * 1e6},
          {"memory_limit_microseconds", memory_seconds * 1e6}};
}

}  // namespace

int run_bench_augment(Invocation& invocation) {
  BenchOptions bench;
  Options options("bench augment",
                  "views a second on one core, with the machine's limits beside them",
                  {"bench augment"});
  options.add("seconds", bench.seconds, "time of one repeat")
      .add("repeats", bench.repeats, "repeats of which the median counts")
      .choice("interpolation", bench.interpolation,
              {{"bicubic", Interpolation::bicubic}, {"bilinear", Interpolation::bilinear}},
              "filter of the resize")
      .flag("json", bench.json, "print one JSON object instead of a table");
  if (!options.parse(invocation.arguments)) return 0;
  if (!(bench.seconds > 0)) refuse("--seconds {} must be positive", bench.seconds);
  if (bench.repeats < 1) refuse("--repeats {} must be at least 1", bench.repeats);

  const MachineLimits limits = measure_machine_limits(1);
  const double flops_per_second = limits.f32_gflops * 1e9;
  const double bytes_per_second = limits.copy_gbytes_per_second * 1e9;
  BenchReport report;
  report.facts = {{"kernels", augmentation_kernels()},
                  {"flops_per_second", flops_per_second},
                  {"copied_bytes_per_second", bytes_per_second}};
  report.table = fmt::format(
      "augmentation on one core; {} kernels; limits of this core: {:.0f} GFLOP/s multiply-add, "
      "{:.1f} GB/s copied\n{:>4}  {:<26} {:>9} {:>10} {:>12} {:>10}\n",
      augmentation_kernels(), limits.f32_gflops, limits.copy_gbytes_per_second, "side", "ops",
      "us/view", "views/s", "arithmetic", "memory");
  for (const Setting& setting : settings(bench.interpolation)) {
    const Result result = measure(setting, bench);
    const double arithmetic = result.work.flops / flops_per_second;
    const double memory = result.work.bytes / bytes_per_second;
    report.add(fmt::format("{:>4}  {:<26} {:>9.1f} {:>10.0f} {:>9.1f} us {:>7.1f} us",
                           setting.config.image_size, setting.ops, result.seconds_per_view * 1e6,
                           1 / result.seconds_per_view, arithmetic * 1e6, memory * 1e6),
               to_json(setting, result, arithmetic, memory));
  }
  std::cout << report.text(bench.json);
  return 0;
}

}  // namespace simclr
