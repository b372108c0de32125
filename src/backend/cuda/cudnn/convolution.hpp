#pragma once
// A convolution by cuDNN: its operation graph, which is what an engine is asked to compute; which
// engines may compute it and with what knobs; and a plan on one of them, ready to run.

#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "../convolution_plan.hpp"
#include "descriptor.hpp"

namespace simclr::cuda::cudnn {

/// Operands' alignment that engines may count on, bytes: 16-byte accesses. Slices of the flat
/// buffers and of their 16-bit shadows start at multiples of 32 bytes, arena tensors at 256.
inline constexpr std::int64_t kAlignmentBytes = 16;

/// Names of the operands in variant packs: x, w, y; with statistics also the sums of y and of y^2.
inline constexpr std::array<std::int64_t, 5> kOperandIds{1, 2, 3, 4, 5};

/// The GPU that plans are for: a handle's, or, in tests without a GPU, one that a
/// CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR describes.
struct Target {
  cudnnHandle_t handle = nullptr;
  const Descriptor* properties = nullptr;
};

/// Engines write a filter's gradient in the operands' type. Where it is wanted in f32 from 16 bits,
/// the graph ends with a copy of the (virtual) f32 sums, which cuDNN's run-time compiled engines
/// fuse into the convolution. Statistics are an operation on y that has no meaning of its own.
class ConvolutionGraph {
 public:
  ConvolutionGraph(const ConvolutionShape& shape, const Target& target);

  [[nodiscard]] const ConvolutionShape& shape() const { return shape_; }
  [[nodiscard]] const Target& target() const { return target_; }
  [[nodiscard]] const Descriptor& graph() const { return graph_; }

 private:
  ConvolutionShape shape_;
  Target target_;
  std::vector<Descriptor> tensors_;
  Descriptor convolution_, copy_;
  std::vector<Descriptor> operations_;
  Descriptor graph_;
};

/// An engine with its knobs set: what an execution plan is made of.
struct EngineConfig {
  EngineChoice choice;
  Descriptor descriptor;
};

/// What cuDNN proposes for the graph and we admit (see numerical notes in the source), the likely
/// fastest first, none twice.
std::vector<EngineConfig> propose_engine_configs(const ConvolutionGraph& graph);

/// The configuration that `choice` names. Throws Error saying why where cuDNN does not accept it
/// or we do not admit it.
EngineConfig make_engine_config(const ConvolutionGraph& graph, const EngineChoice& choice);

/// Scratch memory that a convolution may ask for.
inline constexpr std::size_t kWorkspaceLimitBytes = std::size_t{1} << 30;

class EnginePlan final : public ConvolutionPlan {
 public:
  /// Throws CudnnError where the engine does not take the shape after all, or needs more scratch
  /// memory than the limit. Without libraries it cannot run.
  EnginePlan(std::shared_ptr<const ConvolutionGraph> graph, EngineConfig config,
             Libraries* libraries);

  [[nodiscard]] std::size_t workspace_bytes() const override { return workspace_bytes_; }
  [[nodiscard]] std::string choice() const override { return config_.choice.text(); }
  void run(const ConvolutionOperands& operands, std::span<std::byte> workspace,
           cudaStream_t stream) override;
  /// The memory on which it has run is freed.
  void forget_addresses() { packs_.clear(); }

 private:
  /// x, w, y, sums of y, sums of y^2, workspace.
  using Addresses = std::array<void*, 6>;
  const Descriptor& pack_of(const Addresses& addresses);

  // Everything that the plan was made from lives as long as the plan.
  std::shared_ptr<const ConvolutionGraph> graph_;
  EngineConfig config_;
  Libraries* libraries_;
  Descriptor plan_;
  std::size_t workspace_bytes_ = 0;
  /// One a set of addresses, which are few: ops of one shape share the plan.
  std::map<Addresses, Descriptor> packs_;
};

}  // namespace simclr::cuda::cudnn
