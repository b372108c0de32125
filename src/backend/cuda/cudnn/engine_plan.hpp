#pragma once
// Which engines may compute a convolution and with what knobs; and a convolution on one of them,
// ready to run.

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../convolution_plan.hpp"
#include "../plan_cache.hpp"
#include "convolution_graph.hpp"
#include "descriptor.hpp"

namespace simclr::cuda::cudnn {

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
