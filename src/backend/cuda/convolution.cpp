// Convolutions: what the library's plans read and write. Filters are read where they stand: the f32
// masters in the flat buffer, or the 16-bit copy of that buffer; filters' gradients are written
// into the flat buffer. Only what has padded channels, or no 16-byte alignment, or a type that the
// library does not write, passes through the workspace, which holds
// [filter or its gradient, staged | the plan's own scratch | statistics taken along].

#include "convolution_plans.hpp"
#include "convolution_statistics.hpp"
#include "dispatch.hpp"
#include "kernels/filter.hpp"
#include "steps.hpp"

namespace simclr::cuda {

namespace {

constexpr std::size_t kWorkspaceAlignment = 256;

std::size_t aligned(std::size_t bytes) {
  return (bytes + kWorkspaceAlignment - 1) / kWorkspaceAlignment * kWorkspaceAlignment;
}

constexpr std::size_t kFilterAlignment = 16;

struct Convolution {
  ConvolutionPlan* plan = nullptr;
  FilterPadding filter;
  std::optional<DType> staged;  ///< type of the filter or gradient in the workspace
  bool with_statistics = false;

  [[nodiscard]] std::size_t staged_bytes() const {
    if (!staged) return 0;
    const auto elements = static_cast<std::size_t>(filter.stored_elements());
    return aligned(elements * size_in_bytes(*staged));
  }
  [[nodiscard]] std::size_t sums_offset() const {
    return staged_bytes() + aligned(plan->workspace_bytes());
  }
  [[nodiscard]] std::size_t workspace_bytes() const {
    if (!with_statistics) return staged_bytes() + plan->workspace_bytes();
    return sums_offset() + 2 * static_cast<std::size_t>(filter.stored_out) * sizeof(float);
  }
  [[nodiscard]] std::span<std::byte> scratch(std::span<std::byte> workspace) const {
    return workspace.subspan(staged_bytes(), plan->workspace_bytes());
  }
};

/// x (V,H,W,C) and y (V,H',W',K), or gradients of theirs.
ConvolutionShape shape_of(ConvolutionKind kind, const Layout& x, const Layout& y,
                          const ConvGeometry& geometry, const Device& device) {
  require(x.dtype == y.dtype, "a convolution's activations have one type");
  return {.kind = kind,
          .dtype = x.dtype,
          .gradient_dtype = DType::f32,
          .images = x.images,
          .height = x.height,
          .width = x.width,
          .in_channels = x.stride,
          .out_height = y.height,
          .out_width = y.width,
          .out_channels = y.stride,
          .kernel = geometry.kernel,
          .stride = geometry.stride,
          .padding = geometry.padding,
          .allow_tf32 = x.dtype == DType::f32 && device.options().allow_tf32};
}

FilterPadding padding_of(const TensorInfo& filter, const ConvolutionShape& shape) {
  return {.out = filter.shape[0],
          .taps = filter.shape[1] * filter.shape[2],
          .in = filter.shape[3],
          .stored_out = shape.out_channels,
          .stored_in = shape.in_channels};
}

/// Whether the library can use the filter where it stands in a flat buffer of `dtype`.
bool stands_ready(const TensorInfo& filter, const FilterPadding& padding, DType dtype) {
  const auto offset_bytes = static_cast<std::size_t>(filter.offset) * size_in_bytes(dtype);
  return padding.changes_nothing() && offset_bytes % kFilterAlignment == 0;
}

ConvolutionPlan* plan_for(const ConvolutionShape& shape, const SizingContext& context) {
  ConvolutionPlan* plan = context.device.convolution_plans().find_or_choose(shape);
  if (plan == nullptr) fail("the library has no deterministic algorithm for {}", shape.text());
  return plan;
}

Convolution reading_filter(const ConvolutionShape& shape, TensorId w,
                           const SizingContext& context) {
  const TensorInfo& info = context.info(w);
  require(info.storage == Storage::parameters, "a filter stands in the flat parameter buffer");
  Convolution conv{.plan = plan_for(shape, context),
                   .filter = padding_of(info, shape),
                   .with_statistics = shape.with_statistics};
  if (!stands_ready(info, conv.filter, shape.dtype)) conv.staged = shape.dtype;
  return conv;
}

/// Whether the layer's convolution may take along the statistics that the op behind it wants: the
/// library's engines that can are for f16. A block that is recomputed, where nobody wants them
/// again, has to repeat the bits of y: the layer, which its filter names, has one plan.
bool statistics_follow(const ConvForward& op, const SizingContext& context) {
  if (context.layout(op.y).dtype != DType::f16) return false;
  const auto& ops = context.program.ops;
  for (std::size_t i = 1; i < ops.size(); ++i) {
    const auto* layer = std::get_if<ConvForward>(&ops[i - 1]);
    if (layer == nullptr || layer->w != op.w) continue;
    const auto* statistics = std::get_if<BnStatistics>(&ops[i]);
    return statistics != nullptr && statistics->y == layer->y && statistics->groups.groups == 1;
  }
  return false;
}

Convolution convolution_of(const ConvForward& op, const SizingContext& context) {
  ConvolutionShape shape = shape_of(ConvolutionKind::forward, context.layout(op.x),
                                    context.layout(op.y), op.geometry, context.device);
  shape.with_statistics = statistics_follow(op, context);
  if (shape.with_statistics &&
      context.device.convolution_plans().find_or_choose(shape) == nullptr) {
    shape.with_statistics = false;
  }
  return reading_filter(shape, op.w, context);
}

Convolution convolution_of(const ConvBackwardData& op, const SizingContext& context) {
  const auto shape = shape_of(ConvolutionKind::backward_data, context.layout(op.dx),
                              context.layout(op.dy), op.geometry, context.device);
  return reading_filter(shape, op.w, context);
}

Convolution convolution_of(const ConvBackwardWeights& op, const SizingContext& context) {
  const TensorInfo& info = context.info(op.dw);
  ConvolutionShape shape = shape_of(ConvolutionKind::backward_weights, context.layout(op.x),
                                    context.layout(op.dy), op.geometry, context.device);
  Convolution conv{.plan = context.device.convolution_plans().find_or_choose(shape),
                   .filter = padding_of(info, shape)};
  if (conv.plan == nullptr) {
    shape.gradient_dtype = shape.dtype;
    conv.plan = plan_for(shape, context);
  }
  const bool as_stored = shape.gradient_dtype == info.dtype;
  if (!as_stored || !stands_ready(info, conv.filter, info.dtype)) {
    conv.staged = shape.gradient_dtype;
  }
  return conv;
}

/// The start of the flat buffer that a tensor is a slice of.
std::byte* flat_start(TensorId id, const StepContext& context) {
  const TensorInfo& info = context.info(id);
  return context.bindings.address(id) -
         static_cast<std::size_t>(info.offset) * size_in_bytes(info.dtype);
}

std::byte* filter_in_type(TensorId w, DType dtype, const StepContext& context) {
  if (dtype == DType::f32) return context.bindings.address(w);
  std::byte* copy = context.device.shadows().find_or_make(
      flat_start(w, context), context.bindings.program->parameter_elements, dtype,
      context.stream());
  return copy + static_cast<std::size_t>(context.info(w).offset) * size_in_bytes(dtype);
}

/// A convolution of x and y's gradient, or of x, with filter w.
StepPointer step_reading_filter(const Convolution& conv, TensorId w, const TensorView& x,
                                const TensorView& y, const StepContext& context) {
  ConvolutionOperands operands{.x = x.data, .y = y.data};
  if (conv.with_statistics) {
    operands.sums = reinterpret_cast<float*>(context.workspace().data() + conv.sums_offset());
  }
  const auto scratch = conv.scratch(context.workspace());
  cudaStream_t stream = context.stream();
  if (!conv.staged) {
    operands.w = filter_in_type(w, x.layout.dtype, context);
    return make_step([=, plan = conv.plan] { plan->run(operands, scratch, stream); });
  }
  return with_activation_type(*conv.staged, [&]<class T>(T) {
    auto* padded = reinterpret_cast<T*>(context.workspace().data());
    operands.w = padded;
    const auto* masters = reinterpret_cast<const float*>(context.bindings.address(w));
    return make_step([=] {
      pad_filter(conv.filter, masters, padded, stream);
      conv.plan->run(operands, scratch, stream);
    });
  });
}

}  // namespace

std::optional<std::size_t> sums_taken_along(const BnStatistics& op, const SizingContext& context) {
  for (const Op& other : context.program.ops) {
    const auto* convolution = std::get_if<ConvForward>(&other);
    if (convolution == nullptr || convolution->y != op.y) continue;
    const Convolution conv = convolution_of(*convolution, context);
    return conv.with_statistics ? std::optional(conv.sums_offset()) : std::nullopt;
  }
  return std::nullopt;
}

std::size_t workspace_of(const ConvForward& op, const SizingContext& context) {
  return convolution_of(op, context).workspace_bytes();
}
std::size_t workspace_of(const ConvBackwardData& op, const SizingContext& context) {
  return convolution_of(op, context).workspace_bytes();
}
std::size_t workspace_of(const ConvBackwardWeights& op, const SizingContext& context) {
  return convolution_of(op, context).workspace_bytes();
}

StepPointer prepare_step(const ConvForward& op, const StepContext& context) {
  return step_reading_filter(convolution_of(op, context.sizing()), op.w, context.tensor(op.x),
                             context.tensor(op.y), context);
}

StepPointer prepare_step(const ConvBackwardData& op, const StepContext& context) {
  return step_reading_filter(convolution_of(op, context.sizing()), op.w, context.tensor(op.dx),
                             context.tensor(op.dy), context);
}

StepPointer prepare_step(const ConvBackwardWeights& op, const StepContext& context) {
  const Convolution conv = convolution_of(op, context.sizing());
  auto* dw = reinterpret_cast<float*>(context.bindings.address(op.dw));
  ConvolutionOperands operands{
      .x = context.tensor(op.x).data, .w = dw, .y = context.tensor(op.dy).data};
  const auto scratch = conv.scratch(context.workspace());
  cudaStream_t stream = context.stream();
  if (!conv.staged) {
    return make_step([=, plan = conv.plan] { plan->run(operands, scratch, stream); });
  }
  return with_activation_type(*conv.staged, [&]<class T>(T) {
    auto* padded = reinterpret_cast<T*>(context.workspace().data());
    operands.w = padded;
    return make_step([=] {
      conv.plan->run(operands, scratch, stream);
      unpad_filter(conv.filter, static_cast<const T*>(padded), dw, stream);
    });
  });
}

}  // namespace simclr::cuda
