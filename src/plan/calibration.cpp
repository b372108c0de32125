// Measures the speed of this program's ops on this machine's CPU with small networks. Every op is
// timed at its position in a step, so that the caches are in the state that the ops before it
// leave.

#include <algorithm>
#include <barrier>
#include <chrono>
#include <map>
#include <span>
#include <thread>

#include "simclr/augment/augmentation.hpp"
#include "simclr/backend/executor.hpp"
#include "simclr/backend/registry.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/pseudo_random.hpp"
#include "simclr/core/system.hpp"
#include "simclr/nn/model.hpp"
#include "simclr/plan/machine_limits.hpp"
#include "simclr/train/system_info.hpp"
#include "step_model.hpp"

namespace simclr {
namespace {

using Clock = std::chrono::steady_clock;
using plan::is_communication;

constexpr int kRepeats = 5;

/// The networks cover narrow and wide layers, both kinds of block, stem and resolution, and every
/// optimizer.
struct Network {
  EncoderSpec encoder;
  std::int64_t image_size = 0;
  std::int64_t samples = 0;
  OptimizerKind optimizer = OptimizerKind::lars;
};
std::vector<Network> networks() {
  const auto cifar = [](int depth, double width) {
    return EncoderSpec{.depth = depth, .width = width, .stem = Stem::cifar};
  };
  const auto imagenet = [](int depth, double width) {
    return EncoderSpec{.depth = depth, .width = width, .stem = Stem::imagenet};
  };
  return {{cifar(18, 0.125), 24, 6},
          {cifar(18, 0.25), 32, 20, OptimizerKind::adamw},
          {cifar(50, 0.25), 24, 12, OptimizerKind::sgd},
          {cifar(18, 1), 32, 12},
          {imagenet(34, 1), 128, 3},
          {imagenet(50, 1), 128, 3},
          {imagenet(50, 0.5), 192, 6}};
}

Program record(const Network& network, DType activations) {
  PretrainingSpec spec;
  spec.encoder = network.encoder;
  spec.image_size = network.image_size;
  spec.local_samples = network.samples;
  spec.optimizer.kind = network.optimizer;
  spec.activations = activations;
  return record_pretraining(spec);
}

/// The lower quartile, because disturbances only make an op slower.
double typical(std::vector<double>& values) {
  const auto quartile = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 4);
  std::ranges::nth_element(values, quartile);
  return *quartile;
}

/// Times every op. Ops of equal shape share an entry, which has the index of the first one.
std::map<std::string, std::pair<std::size_t, std::vector<double>>> time_ops(Executor& executor) {
  const Program& program = executor.program();
  std::map<std::string, std::pair<std::size_t, std::vector<double>>> times;
  executor.run_all();
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    for (std::size_t op = 0; op < program.ops.size(); ++op) {
      if (is_communication(program.ops[op])) continue;
      const auto start = Clock::now();
      executor.run(op, op + 1);
      const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
      auto& [first, all] =
          times.try_emplace(shape_text(program, program.ops[op]), op, std::vector<double>())
              .first->second;
      all.push_back(seconds);
    }
  }
  return times;
}

void add_efficiencies(Executor& executor, Machine& machine) {
  const Program& program = executor.program();
  for (auto& [text, timed] : time_ops(executor)) {
    const Op& op = program.ops[timed.first];
    machine.efficiencies.push_back(
        {.shape = plan::shape_of(program, op, DeviceKind::cpu),
         .share = plan::roofline_seconds(program, op, machine) / typical(timed.second)});
  }
}

RenderingRate measure_rendering(int image_size, bool blur) {
  constexpr int kViews = 300;
  AugmentationConfig config = simclr_augmentation(image_size);
  config.blur = blur;
  Augmenter augmenter(config);
  const int side = image_size > 32 ? image_size * 8 / 7 : image_size;
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(3 * side * side));
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(i * i / 7);
  std::vector<float> view(static_cast<std::size_t>(3 * image_size * image_size));
  const double start = thread_seconds();
  for (int i = 0; i < kViews; ++i) {
    augmenter.render({pixels.data(), side, side}, ViewKey{.seed = 1, .sample = i},
                     buffer_span(std::span(view)));
  }
  const double nanoseconds = (thread_seconds() - start) * 1e9 / kViews;
  return {static_cast<double>(image_size), blur, nanoseconds / (double(image_size) * image_size)};
}

/// The measurement of one rank, while the other ranks of the node do the same.
Machine measure_rank(const CalibrationOptions& options, std::barrier<>& together) {
  Machine machine;
  together.arrive_and_wait();
  const MachineLimits limits = measure_machine_limits(options.threads);
  machine.f32_gflops = limits.f32_gflops;
  machine.half_gflops = limits.bf16_gflops.value_or(0);
  machine.memory_gbytes_per_second = limits.copy_gbytes_per_second;
  const auto backend = make_cpu_backend(options.threads);
  for (const Network& network : networks()) {
    for (const DType type : {DType::f32, DType::bf16}) {
      if (!(type == DType::f32 ? options.f32 : options.half)) continue;
      Executor executor(record(network, type), *backend, {});
      fill_inputs(executor);
      together.arrive_and_wait();
      add_efficiencies(executor, machine);
    }
  }
  for (const int side : {32, 224}) {
    for (const bool blur : {false, true}) {
      machine.rendering.push_back(measure_rendering(side, blur));
    }
  }
  return machine;
}

}  // namespace

Machine measure_machine(const CalibrationOptions& options) {
  const int cores = available_cores();
  if (options.threads * options.devices_per_node > cores) {
    refuse(
        "option --machine: measured: {} ranks per node with {} threads each need more than this "
        "machine's {} cores; use --machine FILE, written by plan --write-machine on a node of the "
        "job",
        options.devices_per_node, options.threads, cores);
  }
  std::barrier together(options.devices_per_node);
  std::vector<Machine> ranks(static_cast<std::size_t>(options.devices_per_node));
  {
    std::vector<std::jthread> others;
    for (std::size_t rank = 1; rank < ranks.size(); ++rank) {
      others.emplace_back([&, rank] { ranks[rank] = measure_rank(options, together); });
    }
    ranks[0] = measure_rank(options, together);
  }
  Machine machine = std::move(ranks[0]);
  machine.name = make_cpu_backend(options.threads)->info().model;
  machine.origin = "measured here";
  machine.devices_per_node = options.devices_per_node;
  machine.threads = options.threads;
  machine.node_memory_gb = total_memory_gb();
  // Assumed: shared memory copies a message twice, and nodes have a 100 Gb/s network.
  machine.inside = {.hop_us = 5, .gbytes_per_second = machine.memory_gbytes_per_second / 4};
  machine.between = {
      .start_us = 5, .hop_us = 5, .gbytes_per_second = 12.5 / options.devices_per_node};
  return machine;
}

void fill_inputs(Executor& executor) {
  const Program& program = executor.program();
  executor.set_flat(Storage::parameters, initial_parameters(program, 1));
  executor.set_flat(Storage::running, initial_running_statistics(program));
  const TensorId views = program.at("views");
  const std::vector<float> pixels = pseudo_random(program.info(views).shape.elements());
  executor.upload(views, const_buffer_span(std::span(pixels)));
  const std::vector<float> control{1e-4F, 1, 1, 1};
  executor.upload(program.at("control"), const_buffer_span(std::span(control)));
}

}  // namespace simclr
