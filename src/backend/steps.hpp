#pragma once
// What the steps of all backends share. A backend declares prepare(const Verb&, const Context&) for
// every verb of program/verbs.def and defines it beside the launches of its kernels; one that
// forgets a verb fails to link, and the message names the verb.

#include <cstddef>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include "simclr/backend/backend.hpp"
#include "simclr/core/check.hpp"

namespace simclr {

/// A tensor as a step finds it: its address stays the same for the life of the step.
template <class Layout>
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

/// Everything an op is prepared from; valid only during prepare(). `kLayoutOf` says how the backend
/// stores a tensor.
template <auto kLayoutOf>
struct PrepareContext {
  using Layout = std::invoke_result_t<decltype(kLayoutOf), const TensorInfo&>;
  using View = TensorView<Layout>;

  const Bindings& bindings;

  [[nodiscard]] const Program& program() const { return *bindings.program; }
  [[nodiscard]] const TensorInfo& info(TensorId id) const { return program().info(id); }
  [[nodiscard]] Layout layout(TensorId id) const { return kLayoutOf(info(id)); }
  /// False where only Prepared::workspace_bytes is wanted: all addresses are null.
  [[nodiscard]] bool has_memory() const { return static_cast<bool>(bindings.address); }
  [[nodiscard]] std::byte* address(TensorId id) const {
    return has_memory() ? bindings.address(id) : nullptr;
  }
  [[nodiscard]] View tensor(TensorId id) const {
    return {.data = address(id), .layout = layout(id)};
  }
  /// The elements of an optional tensor; null without it.
  template <class T>
  [[nodiscard]] T* values(std::optional<TensorId> id) const {
    return id ? tensor(*id).template as<T>() : nullptr;
  }
};

/// A step that is one call, call().
template <class Call>
Prepared make_step(Call call) {
  return {.step = [call = std::move(call)](Workspace) mutable { call(); }};
}
/// A step with scratch memory, whose contents do not survive from step to step: call(workspace).
template <class Call>
Prepared make_step(std::size_t workspace_bytes, Call call) {
  return {.workspace_bytes = workspace_bytes, .step = std::move(call)};
}

/// What pooling kernels are told of a window over `input` that gives `output`.
template <class Shape, class Layout>
Shape pool_shape(const ConvGeometry& window, const Layout& input, const Layout& output) {
  require(window.kernel * window.kernel <= 256, "the position in a window fits a byte");
  require(window.padding < window.kernel, "every pooling window covers a pixel");
  Shape shape;
  shape.height = static_cast<int>(input.height);
  shape.width = static_cast<int>(input.width);
  shape.out_height = static_cast<int>(output.height);
  shape.out_width = static_cast<int>(output.width);
  shape.kernel = window.kernel;
  shape.stride = window.stride;
  shape.padding = window.padding;
  return shape;
}

}  // namespace simclr
