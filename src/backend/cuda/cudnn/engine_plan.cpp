#include "engine_plan.hpp"

#include <fmt/format.h>

#include <utility>

namespace simclr::cuda::cudnn {

EnginePlan::EnginePlan(std::shared_ptr<const ConvolutionGraph> graph, EngineConfig config,
                       Libraries::Handles* handles)
    : graph_(std::move(graph)),
      config_(std::move(config)),
      handles_(handles),
      plan_(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) {
  plan_.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config_.descriptor);
  if (handles_ != nullptr) plan_.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, handles_->cudnn);
  plan_.finalize();
  const auto bytes = plan_.get<std::int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
  if (bytes < 0 || static_cast<std::size_t>(bytes) > kWorkspaceLimitBytes) {
    throw CudnnError(fmt::format("{} asks for {} bytes of scratch memory", choice(), bytes));
  }
  workspace_bytes_ = static_cast<std::size_t>(bytes);
}

const Descriptor& EnginePlan::pack_of(const Addresses& addresses) {
  if (const auto found = packs_.find(addresses); found != packs_.end()) return found->second;
  const std::size_t operands = graph_->shape().with_statistics ? 5 : 3;
  Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set_all(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, std::span(kOperandIds).first(operands))
      .set_all(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, std::span(addresses).first(operands))
      .set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, addresses.back())
      .finalize();
  return packs_.emplace(addresses, std::move(pack)).first->second;
}

void EnginePlan::run(const ConvolutionOperands& operands, std::span<std::byte> workspace,
                     cudaStream_t stream) {
  require(workspace.size() >= workspace_bytes_, "a convolution has the workspace it asked for");
  require(handles_ != nullptr, "a plan that runs has handles");
  handles_->use_stream(stream);
  const ConvolutionShape& shape = graph_->shape();
  float* squares = shape.with_statistics ? operands.sums + shape.out_channels : nullptr;
  const Descriptor& pack =
      pack_of({operands.x, operands.w, operands.y, operands.sums, squares, workspace.data()});
  const cudnnStatus_t status = cudnnBackendExecute(handles_->cudnn, plan_.get(), pack.get());
  if (status != CUDNN_STATUS_SUCCESS) {
    check(status, fmt::format("{} on {}", shape.text(), choice()));
  }
}

}  // namespace simclr::cuda::cudnn
