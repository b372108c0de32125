// Measures augmentation on one core, op by op, beside the limits of arithmetic and memory.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "measurement.hpp"
#include "simclr/augment/augmentation.hpp"
#include "simclr/augment/augmentation_parameters.hpp"
#include "simclr/augment/augmentation_work.hpp"
#include "simclr/comm/communicator.hpp"
#include "simclr/core/options.hpp"
#include "simclr/core/random.hpp"
#include "simclr/core/system.hpp"
#include "simclr/plan/machine_limits.hpp"
#include "simclr/tensor/host_buffer.hpp"

namespace simclr {
namespace {

/// About as many images as stay in the caches of a loader thread.
constexpr std::int64_t kSamples = 64;
/// Sides of views in pixels, and of the stored images that the larger ones are made of.
constexpr int kSmallSide = 32;
constexpr int kLargeSide = 224;
constexpr int kStoredSide = 256;

struct BenchOptions {
  double seconds = 0.3;
  int repeats = 5;
  Interpolation interpolation = Interpolation::bicubic;
  DType dtype = DType::f32;
  bool json = false;
};

struct Row {
  AugmentationConfig config;
  int stored_side = 0;
};

bool parse(BenchOptions& bench, const std::vector<std::string>& arguments, Communicator& world) {
  Options options("bench augment", "views a second on one core, with the core's limits beside them",
                  {"bench augment"});
  options.add("seconds", bench.seconds, "time of one repeat, seconds")
      .range(above(0))
      .add("repeats", bench.repeats, "repeats of each measurement, whose median is reported")
      .range(at_least(1))
      .choice("interpolation", bench.interpolation,
              {{"bicubic", Interpolation::bicubic}, {"bilinear", Interpolation::bilinear}},
              "filter with which the crop is resized to a view")
      .choice("precision", bench.dtype,
              {{"fp32", DType::f32}, {"bf16", DType::bf16}, {"fp16", DType::f16}},
              "type of a view's values")
      .flag("json", bench.json, "print one JSON object instead of a table")
      .example("simclr bench augment --precision bf16");
  return parse_on_all_ranks(options, arguments, world);
}

std::string names_of(const AugmentationList& ops) {
  std::vector<std::string> names;
  for (const OpChance& chance : ops) names.emplace_back(name_of(chance.op));
  return ops.empty() ? "none" : fmt::format("{}", fmt::join(names, ","));
}

/// Augmentations to measure: SimCLR's, as far as the views' size has them, then every operation
/// alone, applied to every view. These begin with stored images of the views' size, whose copy is
/// measured as "none".
std::vector<Row> rows(const BenchOptions& bench) {
  std::vector<Row> all;
  const auto add = [&](int side, int stored, AugmentationList ops) {
    all.push_back({{.ops = std::move(ops),
                    .color_strength = side == kSmallSide ? 0.5 : 1.0,
                    .interpolation = bench.interpolation,
                    .image_size = side},
                   stored});
  };
  using enum AugmentOp;
  add(kSmallSide, kSmallSide, usual_ops({crop, flip, color}));
  add(kSmallSide, kSmallSide, usual_ops({crop, flip, color, gray}));
  add(kLargeSide, kStoredSide, usual_ops({crop}));
  add(kLargeSide, kStoredSide, usual_ops({crop, flip, color, gray}));
  add(kLargeSide, kStoredSide, usual_ops({crop, flip, color, gray, blur}));
  for (const int side : {kSmallSide, kLargeSide}) {
    add(side, side, {});
    for (int op = 0; op < kAugmentOps; ++op) add(side, side, {{static_cast<AugmentOp>(op), 1}});
  }
  return all;
}

/// Makes u8 (kSamples, side, side, 3) images: gradients with noise. The cost of rendering does not
/// depend on the content.
std::vector<std::uint8_t> make_pixels(int side) {
  // A prime length, so that the noise does not repeat in the same columns.
  std::array<std::uint8_t, 65521> noise{};
  PhiloxStream stream(1, RandomPurpose::kShuffle, 0, 0);
  for (auto& value : noise) value = static_cast<std::uint8_t>(stream.below(128));
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(kSamples * side * side * 3));
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    pixels[i] = static_cast<std::uint8_t>(i / 97 % 128 + noise[i % noise.size()]);
  }
  return pixels;
}

/// Returns the processor time of a view in seconds.
double time_rendering(const Row& row, const BenchOptions& bench) {
  const int side = row.stored_side;
  const std::vector<std::uint8_t> pixels = make_pixels(side);
  const std::int64_t image_bytes = std::int64_t{3} * side * side;
  Augmenter augmenter(row.config);
  const auto view_side = static_cast<std::size_t>(row.config.image_size);
  HostBuffer view(bench.dtype, view_side * view_side * 3);
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
        augmenter.render({pixels.data() + key.sample * image_bytes, side, side}, key, view.span());
      }
      elapsed = thread_seconds() - start;
    } while (elapsed < seconds);
    return elapsed / static_cast<double>(made);
  };
  render_some(0.1 * bench.seconds);  // warms up
  return median_of(bench.repeats, [&] { return render_some(bench.seconds); });
}

/// Returns the mean work of a view.
AugmentationWork mean_work(const Row& row, DType dtype) {
  constexpr int kCounted = 2000;
  const int side = row.stored_side;
  AugmentationWork mean;
  for (int i = 0; i < kCounted; ++i) {
    const ViewParameters view = sample_view_parameters(row.config, {.sample = i}, side, side);
    const AugmentationWork work = count_view_work(row.config, view, side, side, dtype);
    mean.flops += work.flops / kCounted;
    mean.bytes += work.bytes / kCounted;
  }
  return mean;
}

void add_row(BenchReport& report, const Row& row, const BenchOptions& bench,
             const MachineLimits& machine) {
  const std::string ops = names_of(row.config.ops);
  const double seconds = time_rendering(row, bench);
  const AugmentationWork work = mean_work(row, bench.dtype);
  const double arithmetic = work.flops / (machine.f32_gflops * 1e9);
  const double memory = work.bytes / (machine.copy_gbytes_per_second * 1e9);
  report.add(
      fmt::format("{:>4}  {:<26} {:>9.1f} {:>10.0f} {:>9.1f} us {:>7.1f} us", row.config.image_size,
                  ops, seconds * 1e6, 1 / seconds, arithmetic * 1e6, memory * 1e6),
      {{"image_size", row.config.image_size},
       {"stored_size", row.stored_side},
       {"ops", ops},
       {"color_strength", row.config.color_strength},
       {"microseconds_per_view", seconds * 1e6},
       {"views_per_second", 1 / seconds},
       {"arithmetic_limit_microseconds", arithmetic * 1e6},
       {"memory_limit_microseconds", memory * 1e6}});
}

}  // namespace

int run_bench_augment(const std::vector<std::string>& arguments, Communicator& world) {
  BenchOptions bench;
  if (!parse(bench, arguments, world)) return 0;
  const MachineLimits machine = measure_machine_limits(1);
  BenchReport report;
  report.facts = {{"kernels", augmentation_kernels()},
                  {"views", name_of(bench.dtype)},
                  {"flops_per_second", machine.f32_gflops * 1e9},
                  {"copied_bytes_per_second", machine.copy_gbytes_per_second * 1e9}};
  report.table = fmt::format(
      "augmentation on one core to {}; {} kernels; limits of this core: {:.0f} GFLOP/s "
      "multiply-add, {:.1f} GB/s copied\n{:>4}  {:<26} {:>9} {:>10} {:>12} {:>10}\n",
      name_of(bench.dtype), augmentation_kernels(), machine.f32_gflops,
      machine.copy_gbytes_per_second, "side", "ops", "us/view", "views/s", "arithmetic", "memory");
  for (const Row& row : rows(bench)) add_row(report, row, bench, machine);
  std::cout << report.text(bench.json);
  return 0;
}

}  // namespace simclr
