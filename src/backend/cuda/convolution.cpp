// Convolutions: what the library's plans read and write. Filters are read where they stand: the f32
// masters in the flat buffer, or the 16-bit copy of that buffer; filters' gradients are written
// into the flat buffer. Only what has padded channels, or no 16-byte alignment, or a type that the
// library does not write, passes through the workspace, which holds
// [filter or its gradient, staged | the plan's own scratch | statistics taken along].

#include "convolution_plan.hpp"
#include "kernels/kernels.hpp"
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
  [[nodiscard]] std::span<std::byte> scratch(Workspace workspace) const {
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

ConvolutionPlan* plan_for(const ConvolutionShape& shape, const Context& context) {
  ConvolutionPlan* plan = context.device.convolution_plans().find_or_choose(shape);
  if (plan == nullptr) fail("the library has no deterministic algorithm for {}", shape.text());
  return plan;
}

Convolution reading_filter(const ConvolutionShape& shape, TensorId w, const Context& context) {
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
bool statistics_follow(const ConvForward& op, const Context& context) {
  if (context.layout(op.y).dtype != DType::f16) return false;
  const auto& ops = context.program().ops;
  for (std::size_t i = 1; i < ops.size(); ++i) {
    const auto* layer = std::get_if<ConvForward>(&ops[i - 1]);
    if (layer == nullptr || layer->w != op.w) continue;
    const auto* statistics = std::get_if<BnStatistics>(&ops[i]);
    return statistics != nullptr && statistics->y == layer->y && statistics->groups.groups == 1;
  }
  return false;
}

Convolution convolution_of(const ConvForward& op, const Context& context) {
  ConvolutionShape shape = shape_of(ConvolutionKind::forward, context.layout(op.x),
                                    context.layout(op.y), op.geometry, context.device);
  shape.with_statistics = statistics_follow(op, context);
  if (shape.with_statistics &&
      context.device.convolution_plans().find_or_choose(shape) == nullptr) {
    shape.with_statistics = false;
  }
  return reading_filter(shape, op.w, context);
}

Convolution convolution_of(const ConvBackwardData& op, const Context& context) {
  const auto shape = shape_of(ConvolutionKind::backward_data, context.layout(op.dx),
                              context.layout(op.dy), op.geometry, context.device);
  return reading_filter(shape, op.w, context);
}

Convolution convolution_of(const ConvBackwardWeights& op, const Context& context) {
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

/// Where a filter stands in `dtype`: in the flat buffer, or in the 16-bit copy of that.
std::byte* filter_in_type(TensorId w, DType dtype, const Context& context) {
  std::byte* master = context.address(w);
  if (dtype == DType::f32 || !context.has_memory()) return master;
  const auto offset = static_cast<std::size_t>(context.info(w).offset);
  std::byte* copy = context.device.shadows().find_or_make(master - offset * sizeof(float),
                                                          context.program().parameter_elements,
                                                          dtype, context.stream());
  return copy + offset * size_in_bytes(dtype);
}

/// A convolution of x and y's gradient, or of x, with filter w.
Prepared step_reading_filter(const Convolution& conv, TensorId w, TensorId x, TensorId y,
                             const Context& context) {
  const ConvolutionOperands operands{.x = context.address(x), .y = context.address(y)};
  const auto run = [=, stream = context.stream()](void* filter, Workspace workspace) {
    ConvolutionOperands all = operands;
    all.w = filter;
    if (conv.with_statistics) {
      all.sums = reinterpret_cast<float*>(workspace.data() + conv.sums_offset());
    }
    conv.plan->run(all, conv.scratch(workspace), stream);
  };
  if (!conv.staged) {
    std::byte* filter = filter_in_type(w, context.layout(x).dtype, context);
    return make_step(conv.workspace_bytes(), [=](Workspace workspace) { run(filter, workspace); });
  }
  const auto* masters = reinterpret_cast<const float*>(context.address(w));
  return make_step(conv.workspace_bytes(), [=, stream = context.stream()](Workspace workspace) {
    pad_filter(conv.filter, masters, workspace.data(), *conv.staged, stream);
    run(workspace.data(), workspace);
  });
}

/// Chooses the plan of an op that is a convolution.
void choose_plan(const Op& op, const Context& context) {
  std::visit(
      [&](const auto& o) {
        if constexpr (requires { convolution_of(o, context); }) (void)convolution_of(o, context);
      },
      op);
}

}  // namespace

void tune_convolutions(const Program& program, Device& device) {
  for (std::size_t op = 0; op < program.ops.size(); ++op) {
    const Bindings bindings{.program = &program, .op = op};
    try {
      choose_plan(program.ops[op], {{bindings}, device});
    } catch (OutOfDeviceMemory& error) {
      error.purpose = fmt::format("{} ({})", describe(program, op), error.purpose);
      throw;
    }
  }
}

std::optional<std::size_t> sums_taken_along(const BnStatistics& op, const Context& context) {
  if (context.bindings.op == 0) return std::nullopt;
  const Op& before = context.program().ops[context.bindings.op - 1];
  const auto* convolution = std::get_if<ConvForward>(&before);
  if (convolution == nullptr || convolution->y != op.y) return std::nullopt;
  const Convolution conv = convolution_of(*convolution, context);
  return conv.with_statistics ? std::optional(conv.sums_offset()) : std::nullopt;
}

Prepared prepare(const ConvForward& op, const Context& context) {
  return step_reading_filter(convolution_of(op, context), op.w, op.x, op.y, context);
}

Prepared prepare(const ConvBackwardData& op, const Context& context) {
  return step_reading_filter(convolution_of(op, context), op.w, op.dx, op.dy, context);
}

Prepared prepare(const ConvBackwardWeights& op, const Context& context) {
  const Convolution conv = convolution_of(op, context);
  auto* dw = reinterpret_cast<float*>(context.address(op.dw));
  const ConvolutionOperands operands{
      .x = context.address(op.x), .w = dw, .y = context.address(op.dy)};
  return make_step(conv.workspace_bytes(), [=, stream = context.stream()](Workspace workspace) {
    ConvolutionOperands all = operands;
    if (conv.staged) all.w = workspace.data();
    conv.plan->run(all, conv.scratch(workspace), stream);
    if (conv.staged) unpad_filter(conv.filter, workspace.data(), *conv.staged, dw, stream);
  });
}

}  // namespace simclr::cuda
