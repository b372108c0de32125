// Times every op of a training step alone, in the order and the memory of the real step.

#include <fmt/format.h>

#include <string>
#include <vector>

#include "measurement.hpp"
#include "simclr/backend/executor.hpp"
#include "simclr/core/options.hpp"
#include "simclr/nn/model.hpp"
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

bool parse(BenchConfig& config, const std::vector<std::string>& arguments, Communicator& world) {
  Options options("bench op", "time of every op of a training step, beside the machine's limits",
                  {});
  options.group("program")
      .add("encoder", config.encoder, "ResNet to time")
      .known(known_encoders())
      .add("width", config.width, "multiplies the number of channels of every layer of the encoder")
      .range(above(0))
      .choice("stem", config.stem, {{"imagenet", Stem::imagenet}, {"cifar", Stem::cifar}},
              "first layers of the encoder. imagenet: 7x7 convolution of stride 2 and max "
              "pooling; cifar: 3x3 convolution of stride 1")
      .add("image-size", config.image_size, "side of the square views, in pixels")
      .range(at_least(8))
      .add("views", config.views, "views of a step, two for each image")
      .range(at_least(4).multiples_of(2));
  options.group("device");
  declare_device_options(options, config.device);
  declare_precision_options(options, config.device);
  options.group("measurement")
      .add("repeats", config.repeats, "steps to time; an operation's time is its median over them")
      .range(at_least(1))
      .flag("by-shape", config.by_shape,
            "print a line for each shape of an operation instead of one for each operation")
      .example("simclr bench op --encoder resnet18 --image-size 32 --views 64");
  return parse_on_all_ranks(options, arguments, world);
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

int run_bench_op(const std::vector<std::string>& arguments, Communicator& world) {
  BenchConfig config;
  if (!parse(config, arguments, world)) return 0;
  const int threads = compute_threads(config.device, world);
  const auto backend = make_backend(config.device, threads, world);
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
                  .runs = backend->info().runs_ahead ? kRunsOnGpu : 1,
                  .views = static_cast<double>(config.views)});
  return 0;
}

}  // namespace simclr
