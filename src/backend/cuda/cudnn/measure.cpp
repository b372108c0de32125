// The fastest of cuDNN's engines for a shape, by trying them.

#include <algorithm>
#include <limits>
#include <map>
#include <vector>

#include "../kernels/kernels.hpp"
#include "../memory.hpp"
#include "../steps.hpp"
#include "convolution.hpp"
#include "simclr/core/log.hpp"

namespace simclr::cuda {

namespace {

using cudnn::ConvolutionGraph, cudnn::EngineConfig, cudnn::EnginePlan;

/// Some engines are compiled when their plan is made (up to a second each): not all of the forty to
/// ninety proposals are tried. The first half of them tend to be one engine with other knobs.
constexpr std::size_t kMostCandidates = 16;
constexpr int kMostOfOneEngine = 10;
/// A graph of a few runs: the host's own work for each run is longer than short kernels.
constexpr int kRunsOfAGraph = 4;
constexpr int kRepeats = 3;
/// A small number in every type (f32 and bf16 0.011, f16 1.06): zeros would cost less power, and
/// NaN more, than a training step's numbers.
constexpr int kFillByte = 0x3C;

constexpr const char* kPurpose = "operands to time its algorithms with";

std::vector<std::unique_ptr<EnginePlan>> make_candidates(
    const std::shared_ptr<const ConvolutionGraph>& graph, Libraries* libraries) {
  std::vector<std::unique_ptr<EnginePlan>> plans;
  std::map<std::int64_t, int> taken;
  for (EngineConfig& config : cudnn::propose_engine_configs(*graph)) {
    if (plans.size() == kMostCandidates) break;
    const std::int64_t engine = config.choice.engine;
    if (taken[engine] == kMostOfOneEngine) continue;
    try {
      plans.push_back(std::make_unique<EnginePlan>(graph, std::move(config), libraries));
      ++taken[engine];
    } catch (const CudnnError&) {
      continue;  // heuristics also propose what an engine then declines
    }
  }
  return plans;
}

Buffer filled(std::int64_t elements, DType dtype, cudaStream_t stream) {
  Buffer buffer =
      allocate_device(static_cast<std::size_t>(elements) * size_in_bytes(dtype), kPurpose);
  check(cudaMemsetAsync(buffer.data(), kFillByte, buffer.bytes(), stream), "fill memory");
  return buffer;
}

/// How long what `run` enqueues takes in a graph, milliseconds: the best of a few.
template <class Run>
float time_in_graph(cudaStream_t stream, const Run& run) {
  run();  // loads code, which no capture allows
  Capture capture(stream);
  for (int i = 0; i < kRunsOfAGraph; ++i) run();
  const GraphExec graph = capture.finish("a graph of convolutions");
  Event begin(Event::Timing::on);
  Event end(Event::Timing::on);
  float best = std::numeric_limits<float>::infinity();
  for (int i = 0; i < kRepeats; ++i) {
    begin.record(stream);
    check(cudaGraphLaunch(graph.get(), stream), "launch a graph");
    end.record(stream);
    end.synchronize();
    best = std::min(best, end.milliseconds_since(begin) / kRunsOfAGraph);
  }
  return best;
}

/// Operands and scratch memory for any of the candidates.
class Bench {
 public:
  Bench(const ConvolutionShape& shape, std::size_t workspace_bytes, cudaStream_t stream)
      : shape_(shape),
        filter_{.out = shape.out_channels,
                .taps = std::int64_t{shape.kernel} * shape.kernel,
                .in = shape.in_channels,
                .stored_out = shape.out_channels,
                .stored_in = shape.in_channels},
        x_(filled(shape.images * shape.height * shape.width * shape.in_channels, shape.dtype,
                  stream)),
        // dw may be wider than a filter.
        w_(filled(filter_.stored_elements(), DType::f32, stream)),
        y_(filled(shape.images * shape.out_height * shape.out_width * shape.out_channels,
                  shape.dtype, stream)),
        widened_(allocate_device(static_cast<std::size_t>(filter_.elements()) * sizeof(float),
                                 kPurpose)),
        sums_(filled(2 * shape.out_channels, DType::f32, stream)),
        workspace_(allocate_device(workspace_bytes, kPurpose)),
        stream_(stream) {}

  float milliseconds(EnginePlan& plan) {
    return time_in_graph(stream_, [&] { run(plan); });
  }

 private:
  void run(EnginePlan& plan) {
    plan.run({.x = x_.data(),
              .w = w_.data(),
              .y = y_.data(),
              .sums = reinterpret_cast<float*>(sums_.data())},
             {workspace_.data(), workspace_.bytes()}, stream_);
    if (shape_.kind != ConvolutionKind::backward_weights || shape_.gradient_dtype == DType::f32) {
      return;
    }
    unpad_filter(filter_, w_.data(), shape_.gradient_dtype,
                 reinterpret_cast<float*>(widened_.data()), stream_);
  }

  ConvolutionShape shape_;
  FilterPadding filter_;
  Buffer x_, w_, y_, widened_, sums_, workspace_;
  cudaStream_t stream_;
};

}  // namespace

TimedPlan measure_convolution_plans(const ConvolutionShape& shape, Device& device) {
  Libraries& libraries = device.libraries();
  auto plans = make_candidates(std::make_shared<const ConvolutionGraph>(
                                   shape, cudnn::Target{.handle = libraries.cudnn.get()}),
                               &libraries);
  const std::string name = shape.text();
  if (plans.empty()) {
    log::info("convolution {}: cuDNN has no deterministic engine", name);
    return {};
  }
  std::size_t workspace_bytes = 0;
  for (const auto& plan : plans) {
    workspace_bytes = std::max(workspace_bytes, plan->workspace_bytes());
  }
  device.wait(device.lanes().compute.get());  // what may depend on other ranks is not timed
  Bench bench(shape, workspace_bytes, device.lanes().compute.get());
  std::unique_ptr<EnginePlan> best;
  float least = std::numeric_limits<float>::infinity();
  for (auto& plan : plans) {
    try {
      const float milliseconds = bench.milliseconds(*plan);
      if (milliseconds < least) {
        least = milliseconds;
        best = std::move(plan);
      }
    } catch (const OutOfDeviceMemory&) {
      throw;
    } catch (const Error& error) {  // also of what cannot be captured, which training would do
      log::warning("convolution {}: {} is passed over: {}", name, plan->choice(), error.what());
    }
  }
  device.wait(device.lanes().compute.get());
  if (!best) return {};
  best->forget_addresses();
  log::info("convolution {}: {}, {:.3f} ms, the best of {}", name, best->choice(), least,
            plans.size());
  return {std::move(best), least};
}

float measure_statistics_pass(const ConvolutionShape& shape, Device& device) {
  const Layout y_layout{.dtype = shape.dtype,
                        .images = shape.images,
                        .height = shape.out_height,
                        .width = shape.out_width,
                        .channels = shape.out_channels,
                        .stride = shape.out_channels};
  const BnGroups groups{.groups = 1, .samples = static_cast<int>(shape.images)};
  cudaStream_t stream = device.lanes().compute.get();
  const Buffer y = filled(y_layout.stored_elements(), shape.dtype, stream);
  const Buffer shift = filled(shape.out_channels, DType::f32, stream);
  const Buffer workspace = allocate_device(bn_statistics_bytes(y_layout, groups), kPurpose);
  const Buffer stats = filled(2 * shape.out_channels, DType::f64, stream);
  return time_in_graph(stream, [&] {
    bn_statistics(y_layout, groups, y.data(), reinterpret_cast<const float*>(shift.data()),
                  workspace.data(), reinterpret_cast<double*>(stats.data()), stream);
  });
}

}  // namespace simclr::cuda
