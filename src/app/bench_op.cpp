// Times every op of a training step on its own, in the order and the memory of the real step.

#include <fmt/format.h>

#include <string>
#include <vector>

#include "command.hpp"
#include "op_table.hpp"
#include "simclr/backend/executor.hpp"
#include "simclr/core/options.hpp"
#include "simclr/nn/model.hpp"
#include "simclr/plan/machine_limits.hpp"
#include "simclr/plan/timing_inputs.hpp"
#include "simclr/train/device.hpp"

namespace simclr {

namespace {

struct BenchConfig {
  std::string encoder = "resnet50";
  double width = 1;
  Stem stem = Stem::imagenet;
  std::int64_t image_size = 224;
  std::int64_t views = 16;
  DeviceOptions device;
  int repeats = 5;
  bool by_shape = false;
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
      .add("views", config.views, "views in a step: twice the samples");
  options.group("device");
  declare_device_options(options, config.device);
  declare_precision_options(options, config.device);
  options.group("measurement")
      .add("repeats", config.repeats, "steps; an op's time is its median over them")
      .flag("by-shape", config.by_shape, "one line for each kind and shape, not for each kind");
  if (!options.parse(arguments)) return false;
  if (config.views < 4 || config.views % 2 != 0) {
    refuse("--views {}: give an even number of at least 4", config.views);
  }
  if (config.repeats < 1) refuse("--repeats {}: give at least 1", config.repeats);
  validate(config.device);
  if (config.image_size < 8) refuse("--image-size {}: give at least 8", config.image_size);
  return true;
}

Program record(const BenchConfig& config, DType activations) {
  PretrainingSpec spec;
  spec.encoder = {
      .depth = parse_encoder_depth(config.encoder), .width = config.width, .stem = config.stem};
  spec.local_samples = config.views / 2;
  spec.image_size = config.image_size;
  spec.activations = activations;
  return record_pretraining(spec);
}

}  // namespace

int run_bench_op(Invocation& invocation) {
  BenchConfig config;
  if (!parse(config, invocation.arguments)) return 0;
  const int threads = compute_threads(config.device, invocation.world);
  const auto backend = make_backend(config.device, threads, invocation.world);
  report_device(config.device, *backend);
  const DType activations = activation_type(resolve_precision(config.device, *backend));
  Executor executor(record(config, activations), *backend, {});
  fill_inputs(executor);
  const MachineLimits limits = measure_limits(*backend, threads);
  fmt::print("{}\n{} {} at {}, {} views, {}\n", limits.text(), config.encoder,
             config.stem == Stem::cifar ? "CIFAR stem" : "ImageNet stem", config.image_size,
             config.views, name_of(activations));
  print_op_table(executor, limits,
                 {.repeats = config.repeats,
                  .by_shape = config.by_shape,
                  .bf16 = activations != DType::f32,
                  .runs = backend->runs_ahead() ? kRunsOnGpu : 1,
                  .views = static_cast<double>(config.views)});
  return 0;
}

}  // namespace simclr
