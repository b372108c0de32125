// Rates of augmentation, op by op, beside what arithmetic and memory allow: on one core, or on a
// GPU.

#include <fmt/format.h>

#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench_report.hpp"
#include "command.hpp"
#include "rendering_rates.hpp"
#include "simclr/augment/augmentation.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/options.hpp"
#include "simclr/plan/machine_limits.hpp"
#include "simclr/train/device.hpp"

namespace simclr {
namespace {

struct BenchOptions {
  double seconds = 0.3;
  int repeats = 5;
  Interpolation interpolation = Interpolation::bicubic;
  DeviceOptions device;
  std::optional<std::int64_t> batch_size;
  bool json = false;
};

struct Row {
  std::string ops;
  RenderingSetting setting;
};

bool parse(BenchOptions& bench, const std::vector<std::string>& arguments) {
  Options options("bench augment",
                  "views a second on one core or on a GPU, with the machine's limits beside them",
                  {});
  declare_device_choice(options, bench.device);
  options
      .add("batch-size", bench.batch_size,
           "images rendered at once on a GPU; by default 1024 of 32 pixels, 256 of 224")
      .range(at_least(1))
      .add("seconds", bench.seconds, "time of one repeat, seconds")
      .range(above(0))
      .add("repeats", bench.repeats, "repeats of each measurement, whose median is reported")
      .range(at_least(1))
      .choice("interpolation", bench.interpolation,
              {{"bicubic", Interpolation::bicubic}, {"bilinear", Interpolation::bilinear}},
              "filter with which the crop is resized to a view")
      .flag("json", bench.json, "print one JSON object instead of a table");
  return options.parse(arguments);
}

/// Crop alone, then the ops that follow one by one.
std::vector<Row> rows(const BenchOptions& bench) {
  const auto make = [&](int side, int stored, double strength, int level, const char* ops) {
    AugmentationConfig config;
    config.image_size = side;
    config.color_strength = strength;
    config.interpolation = bench.interpolation;
    config.flip = level > 0;
    config.color = level > 1;
    config.gray = level > 2;
    config.blur = level > 3;
    return Row{ops, {config, stored, bench.seconds, bench.repeats}};
  };
  return {make(32, 32, 0.5, 0, "crop"),
          make(32, 32, 0.5, 2, "crop,flip,color"),
          make(32, 32, 0.5, 3, "crop,flip,color,gray"),
          make(224, 256, 1.0, 0, "crop"),
          make(224, 256, 1.0, 3, "crop,flip,color,gray"),
          make(224, 256, 1.0, 4, "crop,flip,color,gray,blur")};
}

/// What a view would take at the machine's limits, in seconds.
struct ViewLimits {
  double arithmetic = 0, memory = 0;
};

ViewLimits view_limits(const Row& row, const MachineLimits& machine) {
  const AugmentationWork work = mean_work(row.setting);
  return {.arithmetic = work.flops / (machine.f32_gflops * 1e9),
          .memory = work.bytes / (machine.copy_gbytes_per_second * 1e9)};
}

nlohmann::json facts(std::string_view device, const std::string& kernels,
                     const MachineLimits& machine) {
  return {{"device", device},
          {"kernels", kernels},
          {"flops_per_second", machine.f32_gflops * 1e9},
          {"copied_bytes_per_second", machine.copy_gbytes_per_second * 1e9}};
}

nlohmann::json to_json(const Row& row, double seconds_per_view, const ViewLimits& limits) {
  return {{"image_size", row.setting.config.image_size},
          {"stored_size", row.setting.stored_side},
          {"ops", row.ops},
          {"color_strength", row.setting.config.color_strength},
          {"microseconds_per_view", seconds_per_view * 1e6},
          {"views_per_second", 1 / seconds_per_view},
          {"arithmetic_limit_microseconds", limits.arithmetic * 1e6},
          {"memory_limit_microseconds", limits.memory * 1e6}};
}

BenchReport report_one_core(const BenchOptions& bench) {
  const MachineLimits machine = measure_machine_limits(1);
  BenchReport report;
  report.facts = facts("cpu", augmentation_kernels(), machine);
  report.table = fmt::format(
      "augmentation on one core; {} kernels; limits of this core: {:.0f} GFLOP/s multiply-add, "
      "{:.1f} GB/s copied\n{:>4}  {:<26} {:>9} {:>10} {:>12} {:>10}\n",
      augmentation_kernels(), machine.f32_gflops, machine.copy_gbytes_per_second, "side", "ops",
      "us/view", "views/s", "arithmetic", "memory");
  for (const Row& row : rows(bench)) {
    const double seconds = time_on_one_core(row.setting);
    const ViewLimits limits = view_limits(row, machine);
    report.add(fmt::format("{:>4}  {:<26} {:>9.1f} {:>10.0f} {:>9.1f} us {:>7.1f} us",
                           row.setting.config.image_size, row.ops, seconds * 1e6, 1 / seconds,
                           limits.arithmetic * 1e6, limits.memory * 1e6),
               to_json(row, seconds, limits));
  }
  return report;
}

std::int64_t batch_size(const BenchOptions& bench, int image_size) {
  return bench.batch_size.value_or(image_size <= 32 ? 1024 : 256);
}

BenchReport report_gpu(const BenchOptions& bench, Backend& backend) {
  const MachineLimits machine = measure_limits(backend, 1);
  BenchReport report;
  report.facts = facts(backend.name(), backend.description(), machine);
  report.table = fmt::format(
      "{}\naugmentation in batches of two views an image: rendering alone; with the views' "
      "parameters brought for each batch, of\nimages that stay on the device; and with the images "
      "brought, too, one batch after the other\n"
      "{:>4}  {:<26} {:>6} {:>9} {:>10} {:>12} {:>10} {:>12} {:>12}\n",
      machine.text(), "side", "ops", "images", "us/view", "views/s", "arithmetic", "memory",
      "resident/s", "brought/s");
  for (const Row& row : rows(bench)) {
    const int side = row.setting.config.image_size;
    const std::int64_t images = batch_size(bench, side);
    const DeviceRenderingSeconds seconds = time_on_device(row.setting, images, backend);
    const ViewLimits limits = view_limits(row, machine);
    nlohmann::json json = to_json(row, seconds.rendering, limits);
    json["batch_size"] = images;
    json["resident_views_per_second"] = 1 / seconds.resident;
    json["brought_views_per_second"] = 1 / seconds.brought;
    report.add(fmt::format("{:>4}  {:<26} {:>6} {:>9.3f} {:>10.0f} {:>9.3f} us {:>7.3f} us "
                           "{:>12.0f} {:>12.0f}",
                           side, row.ops, images, seconds.rendering * 1e6, 1 / seconds.rendering,
                           limits.arithmetic * 1e6, limits.memory * 1e6, 1 / seconds.resident,
                           1 / seconds.brought),
               std::move(json));
  }
  return report;
}

}  // namespace

int run_bench_augment(Invocation& invocation) {
  BenchOptions bench;
  if (!parse(bench, invocation.arguments)) return 0;
  const auto backend = make_backend(bench.device, 1, invocation.world);
  if (bench.batch_size && !backend->renders_views()) {
    refuse("option --batch-size: {}: views are rendered in batches on a GPU only",
           *bench.batch_size);
  }
  if (!bench.json) report_device(bench.device, *backend);
  const BenchReport report =
      backend->renders_views() ? report_gpu(bench, *backend) : report_one_core(bench);
  std::cout << report.text(bench.json);
  return 0;
}

}  // namespace simclr
