// Measures the speed of this program's ops on this machine's CPU with small networks. Every op is
// timed at its position in a step, so that the caches are in the state that the ops before it
// leave.

#include <algorithm>
#include <barrier>
#include <chrono>
#include <span>
#include <thread>

#include "simclr/augment/augmentation.hpp"
#include "simclr/backend/executor.hpp"
#include "simclr/backend/registry.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "simclr/core/pseudo_random.hpp"
#include "simclr/core/system.hpp"
#include "simclr/nn/model.hpp"
#include "simclr/plan/machine_limits.hpp"
#include "simclr/train/system_info.hpp"
#include "timed_ops.hpp"

namespace simclr {
namespace {

using plan::is_communication;
using plan::TimedOp;

constexpr int kRepeats = 5;

/// Ends the measurement after a number of seconds. Other processes may take the cores at any time,
/// so that it is asked before every op.
class TimeLimit {
 public:
  TimeLimit(std::function<double()> clock, double seconds)
      : clock_(std::move(clock)), end_(clock_() + seconds) {}
  [[nodiscard]] double now() const { return clock_(); }
  [[nodiscard]] bool over() const { return now() >= end_; }
  /// A limit at one of so many equal parts of the time that is left.
  [[nodiscard]] TimeLimit part(int parts) const { return {clock_, (end_ - now()) / parts}; }

 private:
  std::function<double()> clock_;
  double end_;
};

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// The networks cover narrow and wide layers, both kinds of block, stem and resolution, and every
/// optimizer.
struct Network {
  EncoderSpec encoder;
  std::int64_t image_size = 0;
  std::int64_t samples = 0;
  OptimizerKind optimizer = OptimizerKind::lars;
  std::int64_t classes = 0;  ///< of a linear probe beside the encoder; 0: none
};
std::vector<Network> networks() {
  const auto cifar = [](int depth, double width) {
    return EncoderSpec{.depth = depth, .width = width, .stem = Stem::cifar};
  };
  const auto imagenet = [](int depth, double width) {
    return EncoderSpec{.depth = depth, .width = width, .stem = Stem::imagenet};
  };
  // The first two have all kinds of ops and take milliseconds, so that they are timed in any case.
  return {{cifar(18, 0.125), 24, 6, OptimizerKind::lars, 100},
          {imagenet(50, 0.125), 64, 2, OptimizerKind::lars, 100},
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
  spec.probe_classes = network.classes;
  return record_pretraining(spec);
}

/// Times every op in kRepeats steps, after one in which memory is touched for the first time; fewer
/// when the time is up.
std::vector<TimedOp> time_ops(Executor& executor, const TimeLimit& limit) {
  const Program& program = executor.program();
  std::vector<TimedOp> timed(program.ops.size());
  for (std::size_t op = 0; op < timed.size(); ++op) {
    if (is_communication(program.ops[op])) continue;
    timed[op] = {.text = shape_text(program, program.ops[op]),
                 .shape = plan::shape_of(program, program.ops[op], DeviceKind::cpu),
                 .demand = plan::demand_of(program, program.ops[op], DeviceKind::cpu)};
  }
  for (int step = 0; step <= kRepeats; ++step) {
    for (std::size_t op = 0; op < timed.size(); ++op) {
      if (is_communication(program.ops[op])) continue;
      if (limit.over()) return timed;
      const double start = limit.now();
      executor.run(op, op + 1);
      if (step > 0) timed[op].seconds.push_back(limit.now() - start);
    }
  }
  return timed;
}

RenderingRate measure_rendering(int image_size, bool blur) {
  constexpr int kViews = 300;
  AugmentationConfig config = simclr_augmentation(image_size);
  if (!blur) config.ops.pop_back();  // the last one
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

struct RankMeasurement {
  Machine machine;
  std::vector<TimedOp> timed;
  plan::Disturbance disturbance;
};

/// The measurement of one rank, while the other ranks of the node do the same.
RankMeasurement measure_rank(const CalibrationOptions& options, const TimeLimit& limit,
                             std::barrier<>& together) {
  RankMeasurement rank;
  Machine& machine = rank.machine;
  const auto before = core_time();
  together.arrive_and_wait();
  const MachineLimits limits = measure_machine_limits(options.threads);
  machine.f32_gflops = limits.f32_gflops;
  machine.half_gflops = limits.bf16_gflops.value_or(0);
  machine.memory_gbytes_per_second = limits.copy_gbytes_per_second;
  for (const int side : {32, 224}) {
    for (const bool blur : {false, true}) {
      machine.rendering.push_back(measure_rendering(side, blur));
    }
  }
  const auto backend = make_cpu_backend(options.threads);
  const std::vector<Network> all = networks();
  const int precisions = (options.f32 ? 1 : 0) + (options.half ? 1 : 0);
  int left = precisions * static_cast<int>(all.size());
  rank.disturbance = {.limit_seconds = options.seconds, .networks = left};
  for (const Network& network : all) {
    for (const DType type : {DType::f32, DType::bf16}) {
      if (!(type == DType::f32 ? options.f32 : options.half)) continue;
      const TimeLimit part = limit.part(left--);
      together.arrive_and_wait();
      std::vector<TimedOp> timed;
      if (!part.over()) {
        Executor executor(record(network, type), *backend, {});
        fill_inputs(executor);
        timed = time_ops(executor, part);
      }
      if (std::ranges::all_of(timed, [](const TimedOp& op) { return op.seconds.empty(); })) {
        ++rank.disturbance.skipped_networks;
      }
      std::ranges::move(timed, std::back_inserter(rank.timed));
    }
  }
  if (const auto after = core_time(); before && after) {
    const auto waited = static_cast<double>(after->waiting - before->waiting);
    const auto ran = static_cast<double>(after->running - before->running);
    rank.disturbance.waiting_share = waited / std::max(1.0, waited + ran);
  }
  return rank;
}

}  // namespace

MeasuredMachine measure_machine(const CalibrationOptions& options) {
  const int cores = available_cores();
  if (options.threads * options.devices_per_node > cores) {
    refuse(
        "option --machine: measured: {} ranks per node with {} threads each need more than this "
        "machine's {} cores; use --machine FILE, written by plan --write-machine on a node of the "
        "job",
        options.devices_per_node, options.threads, cores);
  }
  log::info(
      "measuring this machine's processor (--machine measured): about {} seconds when it is idle, "
      "at most {:.0f}",
      kIdleMeasuringSeconds * ((options.f32 ? 1 : 0) + (options.half ? 1 : 0)), options.seconds);
  const TimeLimit limit(options.clock ? options.clock : steady_seconds, options.seconds);
  std::barrier together(options.devices_per_node);
  std::vector<RankMeasurement> ranks(static_cast<std::size_t>(options.devices_per_node));
  {
    std::vector<std::jthread> others;
    for (std::size_t rank = 1; rank < ranks.size(); ++rank) {
      others.emplace_back([&, rank] { ranks[rank] = measure_rank(options, limit, together); });
    }
    ranks[0] = measure_rank(options, limit, together);
  }
  Machine machine = std::move(ranks[0].machine);
  plan::set_shares(machine, ranks[0].timed);
  machine.name = make_cpu_backend(options.threads)->info().model;
  machine.origin = "measured here";
  machine.devices_per_node = options.devices_per_node;
  machine.threads = options.threads;
  machine.node_memory_gb = total_memory_gb();
  // Assumed: shared memory copies a message twice, and nodes have a 100 Gb/s network.
  machine.inside = {.hop_us = 5, .gbytes_per_second = machine.memory_gbytes_per_second / 4};
  machine.between = {
      .start_us = 5, .hop_us = 5, .gbytes_per_second = 12.5 / options.devices_per_node};
  return {std::move(machine), plan::describe(ranks[0].disturbance, ranks[0].timed)};
}

void fill_inputs(Executor& executor) {
  const Program& program = executor.program();
  executor.set_flat(Storage::parameters, pseudo_random(program.flat_elements(Storage::parameters)));
  executor.set_flat(Storage::running, initial_running_statistics(program));
  const TensorId views = program.at("views");
  const std::vector<float> pixels = pseudo_random(program.info(views).shape.elements());
  executor.upload(views, const_buffer_span(std::span(pixels)));
  for (const TensorInfo& info : program.tensors) {
    if (info.storage != Storage::input || info.dtype != DType::i32) continue;
    const std::vector<std::int32_t> labels(static_cast<std::size_t>(info.shape.elements()));
    executor.upload(program.at(info.name), const_buffer_span(std::span(labels)));
  }
  std::vector<float> control;
  while (std::ssize(control) < program.info(program.at("control")).shape.elements()) {
    control.insert(control.end(), {1e-4F, 1, 1, 1});
  }
  executor.upload(program.at("control"), const_buffer_span(std::span<const float>(control)));
}

}  // namespace simclr
