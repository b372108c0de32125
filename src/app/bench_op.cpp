// Times every op of a training step on its own, in the order and the memory of the real step.

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "command.hpp"
#include "machine_limits.hpp"
#include "op_cost.hpp"
#include "simclr/backend/executor.hpp"
#include "simclr/core/options.hpp"
#include "simclr/nn/model.hpp"

namespace simclr {

namespace {

using Clock = std::chrono::steady_clock;

struct BenchConfig {
  std::string encoder = "resnet50";
  double width = 1;
  Stem stem = Stem::imagenet;
  std::int64_t image_size = 224;
  std::int64_t views = 16;
  DType precision = DType::f32;
  int threads = 0;
  int repeats = 5;
  bool by_shape = false;
  bool allow_slow_bf16 = false;
};

bool parse(BenchConfig& config, const std::vector<std::string>& arguments) {
  Options options("bench op", "time of every op of a training step, beside the machine's limits",
                  {"bench op"});
  options.group("program")
      .add("encoder", config.encoder, "resnet18, 34, 50, 101, 152 or 200")
      .add("width", config.width, "multiplier of the encoder's channels")
      .choice("stem", config.stem, {{"imagenet", Stem::imagenet}, {"cifar", Stem::cifar}},
              "first layers of the encoder")
      .add("image-size", config.image_size, "pixels")
      .add("views", config.views, "views in a step: twice the samples")
      .choice("precision", config.precision, {{"fp32", DType::f32}, {"bf16", DType::bf16}},
              "type of the activations")
      .flag("allow-slow-bf16", config.allow_slow_bf16, "emulate bf16 where the CPU has none");
  options.group("measurement")
      .add("threads", config.threads, "0: the cores this process may use")
      .add("repeats", config.repeats, "steps; an op's time is its median over them")
      .flag("by-shape", config.by_shape, "one line for each kind and shape, not for each kind");
  if (!options.parse(arguments)) return false;
  if (config.views < 4 || config.views % 2 != 0) {
    refuse("--views {}: give an even number of at least 4", config.views);
  }
  if (config.repeats < 1) refuse("--repeats {}: give at least 1", config.repeats);
  if (config.threads < 0) refuse("--threads {}: give 0 or more", config.threads);
  if (config.image_size < 8) refuse("--image-size {}: give at least 8", config.image_size);
  if (config.precision == DType::bf16 && !cpu_has_native_bf16() && !config.allow_slow_bf16) {
    refuse("--precision bf16: this CPU has no native bf16; use fp32 or add --allow-slow-bf16");
  }
  return true;
}

Program record(const BenchConfig& config) {
  PretrainingSpec spec;
  spec.encoder = {
      .depth = parse_encoder_depth(config.encoder), .width = config.width, .stem = config.stem};
  spec.local_samples = config.views / 2;
  spec.image_size = config.image_size;
  spec.activations = config.precision;
  return record_pretraining(spec);
}

void fill_inputs(Executor& executor) {
  const Program& program = executor.program();
  executor.set_flat(Storage::parameters, initial_parameters(program, 1));
  executor.set_flat(Storage::running, initial_running_statistics(program));
  const TensorId views = program.at("views");
  std::vector<float> pixels(static_cast<std::size_t>(program.info(views).shape.elements()));
  std::uint32_t state = 1;
  for (float& pixel : pixels) {
    state = state * 1664525U + 1013904223U;
    pixel = static_cast<float>(state >> 8) * 0x1p-24F;
  }
  executor.upload(views, const_buffer_span(std::span<const float>(pixels)));
  const std::vector<float> control{1e-4F, 1, 1, 0};
  executor.upload(program.at("control"), const_buffer_span(std::span<const float>(control)));
}

/// Median seconds of every op.
std::vector<double> time_ops(Executor& executor, int repeats) {
  const std::size_t count = executor.program().ops.size();
  std::vector<std::vector<double>> seconds(count);
  executor.run(0, count);
  for (int repeat = 0; repeat < repeats; ++repeat) {
    for (std::size_t op = 0; op < count; ++op) {
      const auto start = Clock::now();
      executor.run(op, op + 1);
      seconds[op].push_back(std::chrono::duration<double>(Clock::now() - start).count());
    }
  }
  std::vector<double> medians;
  for (auto& times : seconds) {
    const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
    std::ranges::nth_element(times, middle);
    medians.push_back(*middle);
  }
  return medians;
}

struct Line {
  int count = 0;
  double seconds = 0;
  OpCost cost;
  double bound_seconds = 0;  // the least the machine's limits allow
};

std::map<std::string, Line> summarise(const Program& program, const std::vector<double>& seconds,
                                      const MachineLimits& limits, const BenchConfig& config) {
  const double bf16_gflops = limits.bf16_gflops.value_or(limits.f32_gflops);
  std::map<std::string, Line> lines;
  for (std::size_t i = 0; i < program.ops.size(); ++i) {
    const Op& op = program.ops[i];
    const std::string kind(verb(op));
    const OpCost cost = cost_of(program, op);
    const bool low_precision = config.precision == DType::bf16 && kind.starts_with("conv");
    const double gflops = low_precision ? bf16_gflops : limits.f32_gflops;
    Line& line = lines[config.by_shape ? shape_text(program, op) : kind];
    ++line.count;
    line.seconds += seconds[i];
    line.cost.flops += cost.flops;
    line.cost.bytes += cost.bytes;
    line.bound_seconds +=
        std::max(cost.flops / gflops, cost.bytes / limits.copy_gbytes_per_second) * 1e-9;
  }
  return lines;
}

void print(const std::map<std::string, Line>& lines, double views) {
  std::vector<std::pair<std::string, Line>> sorted(lines.begin(), lines.end());
  std::ranges::sort(sorted, [](auto& a, auto& b) { return a.second.seconds > b.second.seconds; });
  double total = 0;
  double bound = 0;
  for (const auto& [name, line] : sorted) {
    total += line.seconds;
    bound += line.bound_seconds;
  }
  std::size_t width = 10;
  for (const auto& [name, line] : sorted) width = std::max(width, name.size());
  fmt::print("{:<{}} {:>5} {:>9} {:>6} {:>9} {:>7} {:>8}\n", "op", width, "count", "ms", "share",
             "GFLOP/s", "GB/s", "of limit");
  for (const auto& [name, line] : sorted) {
    fmt::print(
        "{:<{}} {:>5} {:>9.3f} {:>5.1f}% {:>9} {:>7.1f} {:>7.0f}%\n", name, width, line.count,
        line.seconds * 1e3, 100 * line.seconds / total,
        line.cost.flops > 0 ? fmt::format("{:.1f}", line.cost.flops / line.seconds * 1e-9) : "",
        line.cost.bytes / line.seconds * 1e-9, 100 * line.bound_seconds / line.seconds);
  }
  fmt::print("{:<{}} {:>5} {:>9.3f} {:>6} {:>9} {:>7} {:>7.0f}%\n", "all", width, "", total * 1e3,
             "", "", "", 100 * bound / total);
  fmt::print("{:.2f} views/s\n", views / total);
}

}  // namespace

int run_bench_op(Invocation& invocation) {
  BenchConfig config;
  if (!parse(config, invocation.arguments)) return 0;
  const auto backend = make_cpu_backend(config.threads);
  Executor executor(record(config), *backend, {});
  fill_inputs(executor);
  const MachineLimits limits = measure_machine_limits(config.threads);
  fmt::print("{}\n{} {} at {}, {} views, {}\n", limits.text(), config.encoder,
             config.stem == Stem::cifar ? "CIFAR stem" : "ImageNet stem", config.image_size,
             config.views, config.precision == DType::bf16 ? "bf16" : "fp32");
  const auto seconds = time_ops(executor, config.repeats);
  print(summarise(executor.program(), seconds, limits, config), static_cast<double>(config.views));
  return 0;
}

}  // namespace simclr
