#pragma once
// A convolution on one engine, ready to run.

#include <array>
#include <map>
#include <memory>

#include "../convolution_plan.hpp"
#include "engine_configs.hpp"

namespace simclr::cuda::cudnn {

/// Scratch memory that a convolution may ask for.
inline constexpr std::size_t kWorkspaceLimitBytes = std::size_t{1} << 30;

class EnginePlan final : public ConvolutionPlan {
 public:
  /// Throws CudnnError where the engine does not take the shape after all, or needs more scratch
  /// memory than the limit. Without handles it cannot run.
  EnginePlan(std::shared_ptr<const ConvolutionGraph> graph, EngineConfig config,
             Libraries::Handles* handles);

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
  Libraries::Handles* handles_;
  Descriptor plan_;
  std::size_t workspace_bytes_ = 0;
  /// One a set of addresses, which are few: ops of one shape share the plan.
  std::map<Addresses, Descriptor> packs_;
};

}  // namespace simclr::cuda::cudnn
