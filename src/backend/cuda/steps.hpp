#pragma once
// How each op becomes a step on the GPU: one prepare_step per op, implemented beside the launches
// of its kernels. A step enqueues on the compute lane and never waits.

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "device.hpp"
#include "layout.hpp"
#include "simclr/backend/backend.hpp"
#include "simclr/core/check.hpp"

namespace simclr::cuda {

/// A tensor as a step finds it: its device address stays the same for the life of the step.
struct TensorView {
  std::byte* data = nullptr;
  Layout layout;

  /// The elements as T, which must be the tensor's dtype.
  template <class T>
  [[nodiscard]] T* as() const {
    require(layout.dtype == dtype_of<T>, "a step reads a tensor as another type");
    return reinterpret_cast<T*>(data);
  }
};

/// What is known of an op before memory is planned.
struct SizingContext {
  const Program& program;
  Device& device;

  [[nodiscard]] const TensorInfo& info(TensorId id) const { return program.info(id); }
  [[nodiscard]] Layout layout(TensorId id) const { return layout_of(info(id)); }
};

/// Everything a step is prepared from; valid only during prepare.
struct StepContext {
  const Bindings& bindings;
  Device& device;

  [[nodiscard]] const TensorInfo& info(TensorId id) const { return bindings.program->info(id); }
  [[nodiscard]] Layout layout(TensorId id) const { return layout_of(info(id)); }
  [[nodiscard]] TensorView tensor(TensorId id) const {
    return {.data = bindings.address(id), .layout = layout(id)};
  }
  [[nodiscard]] std::optional<TensorView> tensor(std::optional<TensorId> id) const {
    return id ? std::optional(tensor(*id)) : std::nullopt;
  }
  /// The elements of an optional tensor; null without it.
  template <class T>
  [[nodiscard]] T* values(std::optional<TensorId> id) const {
    return id ? tensor(*id).as<T>() : nullptr;
  }
  [[nodiscard]] SizingContext sizing() const {
    return {.program = *bindings.program, .device = device};
  }
  [[nodiscard]] cudaStream_t stream() const { return device.lanes().compute.get(); }
  /// Device scratch memory shared by all ops, aligned to 256 bytes (workspace_of below asks for
  /// it); its contents do not survive from step to step (but see convolution_statistics.hpp).
  [[nodiscard]] std::span<std::byte> workspace() const { return bindings.workspace; }
};

/// A step that is one call.
class CallStep final : public Step {
 public:
  explicit CallStep(std::function<void()> call, bool is_capturable = true)
      : call_(std::move(call)), capturable_(is_capturable) {}
  void run() override { call_(); }
  [[nodiscard]] bool capturable() const override { return capturable_; }

 private:
  std::function<void()> call_;
  bool capturable_;
};
inline std::unique_ptr<Step> make_step(std::function<void()> call) {
  return std::make_unique<CallStep>(std::move(call));
}

using StepPointer = std::unique_ptr<Step>;

// A verb without a prepare_step() fails to link: the message names it.
#define SIMCLR_VERB(Verb) StepPointer prepare_step(const Verb& op, const StepContext& context);
#include "simclr/program/verbs.def"

/// Scratch memory of an op, bytes; ops that need some declare an overload here.
template <class AnyOp>
std::size_t workspace_of(const AnyOp& /*op*/, const SizingContext& /*context*/) {
  return 0;
}
std::size_t workspace_of(const ConvForward& op, const SizingContext& context);
std::size_t workspace_of(const ConvBackwardData& op, const SizingContext& context);
std::size_t workspace_of(const ConvBackwardWeights& op, const SizingContext& context);
std::size_t workspace_of(const BnStatistics& op, const SizingContext& context);
std::size_t workspace_of(const BnBackwardReduce& op, const SizingContext& context);
std::size_t workspace_of(const MatMul& op, const SizingContext& context);
std::size_t workspace_of(const MatMulBackwardData& op, const SizingContext& context);
std::size_t workspace_of(const MatMulBackwardWeights& op, const SizingContext& context);
std::size_t workspace_of(const NtXentForward& op, const SizingContext& context);
std::size_t workspace_of(const NtXentBackward& op, const SizingContext& context);
std::size_t workspace_of(const SoftmaxCrossEntropy& op, const SizingContext& context);
std::size_t workspace_of(const Update& op, const SizingContext& context);

}  // namespace simclr::cuda
