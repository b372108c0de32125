#include "measure.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <vector>

#include "../libraries.hpp"
#include "../memory.hpp"
#include "../runtime.hpp"
#include "simclr/core/log.hpp"

namespace simclr::cuda::cudnn {

namespace {

/// Some engines are compiled when their plan is made (up to a second each): not all of the forty to
/// ninety proposals are tried. The first half of them tend to be one engine with other knobs.
constexpr std::size_t kMostCandidates = 16;
constexpr int kMostOfOneEngine = 10;
constexpr int kRepeats = 5;
/// A small number in every type (f32 and bf16 0.011, f16 1.06): zeros would cost less power, and
/// NaN more, than a training step's numbers.
constexpr int kFillByte = 0x3C;

std::vector<std::unique_ptr<EnginePlan>> make_candidates(
    const std::shared_ptr<const ConvolutionGraph>& graph, Libraries::Handles* handles) {
  std::vector<std::unique_ptr<EnginePlan>> plans;
  std::map<std::int64_t, int> taken;
  for (EngineConfig& config : propose_engine_configs(*graph)) {
    if (plans.size() == kMostCandidates) break;
    const std::int64_t engine = config.choice.engine;
    if (taken[engine] == kMostOfOneEngine) continue;
    try {
      plans.push_back(std::make_unique<EnginePlan>(graph, std::move(config), handles));
      ++taken[engine];
    } catch (const CudnnError&) {
      continue;  // heuristics also propose what an engine then declines
    }
  }
  return plans;
}

Buffer filled(std::int64_t elements, DType dtype, cudaStream_t stream) {
  Buffer buffer = allocate_device(static_cast<std::size_t>(elements) * size_in_bytes(dtype));
  check(cudaMemsetAsync(buffer.data(), kFillByte, buffer.bytes(), stream), "fill memory");
  return buffer;
}

/// Operands and scratch memory for any of the candidates.
class Bench {
 public:
  Bench(const ConvolutionShape& shape, std::size_t workspace_bytes, cudaStream_t stream)
      : x_(filled(shape.images * shape.height * shape.width * shape.in_channels, shape.dtype,
                  stream)),
        // dw may be wider than a filter.
        w_(filled(shape.out_channels * shape.kernel * shape.kernel * shape.in_channels, DType::f32,
                  stream)),
        y_(filled(shape.images * shape.out_height * shape.out_width * shape.out_channels,
                  shape.dtype, stream)),
        workspace_(allocate_device(workspace_bytes)),
        stream_(stream) {}

  /// The best of a few runs.
  float milliseconds(EnginePlan& plan) {
    run(plan);  // loads code, fills caches
    float best = std::numeric_limits<float>::infinity();
    for (int i = 0; i < kRepeats; ++i) {
      begin_.record(stream_);
      run(plan);
      end_.record(stream_);
      end_.synchronise();
      best = std::min(best, end_.milliseconds_since(begin_));
    }
    return best;
  }

 private:
  void run(EnginePlan& plan) {
    plan.run({.x = x_.data(), .w = w_.data(), .y = y_.data()},
             {workspace_.data(), workspace_.bytes()}, stream_);
  }

  Buffer x_, w_, y_, workspace_;
  cudaStream_t stream_;
  Event begin_{Event::Timing::on}, end_{Event::Timing::on};
};

}  // namespace

std::unique_ptr<EnginePlan> measure_engines(const std::shared_ptr<const ConvolutionGraph>& graph,
                                            Device& device) {
  auto plans = make_candidates(graph, &device.libraries().handles());
  const std::string name = graph->shape().text();
  if (plans.empty()) {
    log::info("convolution {}: cuDNN has no deterministic engine", name);
    return nullptr;
  }
  std::size_t workspace_bytes = 0;
  for (const auto& plan : plans) {
    workspace_bytes = std::max(workspace_bytes, plan->workspace_bytes());
  }
  device.wait(device.lanes().compute.get());  // what may depend on other ranks is not timed
  Bench bench(graph->shape(), workspace_bytes, device.lanes().compute.get());
  std::unique_ptr<EnginePlan> best;
  float least = std::numeric_limits<float>::infinity();
  for (auto& plan : plans) {
    try {
      const float milliseconds = bench.milliseconds(*plan);
      if (milliseconds < least) {
        least = milliseconds;
        best = std::move(plan);
      }
    } catch (const CudnnError& error) {
      log::warning("convolution {}: {} is passed over: {}", name, plan->choice(), error.what());
    }
  }
  device.wait(device.lanes().compute.get());
  if (!best) return nullptr;
  best->forget_addresses();
  log::info("convolution {}: {}, {:.3f} ms, the best of {}", name, best->choice(), least,
            plans.size());
  return best;
}

}  // namespace simclr::cuda::cudnn
