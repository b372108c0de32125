// Convolutions on oneDNN. Activations stay in our layouts; weights take whatever layout the
// primitive likes best (see PrimitivePlan).

#include <string_view>
#include <tuple>

#include "onednn.hpp"

namespace simclr::cpu {

namespace {

using dnnl::memory;
constexpr auto kDirect = dnnl::algorithm::convolution_direct;

/// The descriptors of one convolution: x (V,H,W,C), w (K,R,S,C) and y (V,H',W',K), or gradients
/// of theirs, as we store them.
struct Convolution {
  memory::desc x, w, y;
  memory::data_type weight_type{};  // of the primitive's weights
  memory::dims strides, padding;
  std::string_view verb;
};

Convolution describe(const Layout& x, const Layout& y, const TensorInfo& w,
                     const ConvGeometry& geometry, std::string_view verb) {
  require(x.dtype == y.dtype, "a convolution's activations have one type");
  const memory::dims filter{w.shape[0], w.shape[3], w.shape[1], w.shape[2]};
  return {.x = activation_desc(x),
          .w = memory::desc(filter, memory::data_type::f32, memory::format_tag::ohwi),
          .y = activation_desc(y),
          .weight_type = data_type_of(x.dtype),
          .strides = {geometry.stride, geometry.stride},
          .padding = {geometry.padding, geometry.padding},
          .verb = verb};
}

/// dims() in oneDNN 2, get_dims() from 3 on.
memory::dims dims_of(const auto& desc) {
  if constexpr (requires { desc.get_dims(); }) {
    return desc.get_dims();
  } else {
    return desc.dims();
  }
}

memory::desc any_layout(const memory::desc& desc, memory::data_type type) {
  return {dims_of(desc), type, memory::format_tag::any};
}

/// What oneDNN is asked for: activations as we store them, or free.
struct Request {
  memory::desc x, w, y;
};

/// oneDNN 2 has an object that describes the operation, Primitive::desc; from 3 on its arguments go
/// to the primitive's descriptor. `hint` holds the forward pass's descriptor of a backward pass.
template <class Primitive, class Hint, class... Arguments>
auto describe_primitive(OneDnn& onednn, const Hint& hint, const Arguments&... arguments) {
  return std::apply(
      [&](const auto&... hints) -> typename Primitive::primitive_desc {
        if constexpr (requires { typename Primitive::desc; }) {
          return {typename Primitive::desc(arguments...), user_scratchpad(), onednn.engine,
                  hints...};
        } else {
          return {onednn.engine, arguments..., hints..., user_scratchpad()};
        }
      },
      hint);
}

auto forward(const Convolution& conv, const Request& request, OneDnn& onednn) {
  return describe_primitive<dnnl::convolution_forward>(
      onednn, std::tuple(), dnnl::prop_kind::forward_training, kDirect, request.x, request.w,
      request.y, conv.strides, conv.padding, conv.padding);
}

auto backward_data(const Convolution& conv, const Request& request, OneDnn& onednn) {
  return describe_primitive<dnnl::convolution_backward_data>(
      onednn, std::tuple(forward(conv, request, onednn)), kDirect, request.x, request.w, request.y,
      conv.strides, conv.padding, conv.padding);
}

auto backward_weights(const Convolution& conv, const Request& request, OneDnn& onednn) {
  Request hint = request;
  hint.w = any_layout(request.w, conv.weight_type);
  return describe_primitive<dnnl::convolution_backward_weights>(
      onednn, std::tuple(forward(conv, hint, onednn)), kDirect, request.x, request.w, request.y,
      conv.strides, conv.padding, conv.padding);
}

/// On CPUs without 512-bit registers oneDNN has only its reference loops for our blocks of 16;
/// there it is better to let it choose and to convert the activations.
template <class Make>
auto choose(const Convolution& conv, memory::data_type weight_type, OneDnn& onednn,
            const Make& make) {
  const memory::desc w = any_layout(conv.w, weight_type);
  try {
    auto ours = make(conv, Request{.x = conv.x, .w = w, .y = conv.y}, onednn);
    if (!std::string_view(ours.impl_info_str()).starts_with("ref")) return ours;
    const Request free{.x = any_layout(conv.x, conv.weight_type),
                       .w = w,
                       .y = any_layout(conv.y, conv.weight_type)};
    return make(conv, free, onednn);
  } catch (const dnnl::error& error) {
    if (conv.weight_type == memory::data_type::bf16) {
      refuse(
          "option --precision: bf16: this CPU cannot even emulate it, for which oneDNN needs "
          "AVX-512 ({}: {}); use fp32",
          conv.verb, error.what());
    }
    refuse("oneDNN cannot do {} on this CPU ({}); it needs SSE 4.1 or better", conv.verb,
           error.what());
  }
}

}  // namespace

Prepared prepare(const ConvForward& op, const Context& context) {
  const Convolution conv = describe(context.layout(op.x), context.layout(op.y), context.info(op.w),
                                    op.geometry, op.kVerb);
  const auto chosen = choose(conv, conv.weight_type, context.onednn, forward);
  return PrimitivePlan(context.onednn, dnnl::convolution_forward(chosen), chosen.scratchpad_desc())
      .input(DNNL_ARG_SRC, conv.x, chosen.src_desc(), context.address(op.x))
      .input(DNNL_ARG_WEIGHTS, conv.w, chosen.weights_desc(), context.address(op.w))
      .output(DNNL_ARG_DST, conv.y, chosen.dst_desc(), context.address(op.y))
      .prepared();
}

Prepared prepare(const ConvBackwardData& op, const Context& context) {
  const Convolution conv = describe(context.layout(op.dx), context.layout(op.dy),
                                    context.info(op.w), op.geometry, op.kVerb);
  const auto chosen = choose(conv, conv.weight_type, context.onednn, backward_data);
  return PrimitivePlan(context.onednn, dnnl::convolution_backward_data(chosen),
                       chosen.scratchpad_desc())
      .input(DNNL_ARG_DIFF_DST, conv.y, chosen.diff_dst_desc(), context.address(op.dy))
      .input(DNNL_ARG_WEIGHTS, conv.w, chosen.weights_desc(), context.address(op.w))
      .output(DNNL_ARG_DIFF_SRC, conv.x, chosen.diff_src_desc(), context.address(op.dx))
      .prepared();
}

Prepared prepare(const ConvBackwardWeights& op, const Context& context) {
  const Convolution conv = describe(context.layout(op.x), context.layout(op.dy),
                                    context.info(op.dw), op.geometry, op.kVerb);
  // The sums leave the primitive in f32, whatever the activations are.
  const auto chosen = choose(conv, memory::data_type::f32, context.onednn, backward_weights);
  return PrimitivePlan(context.onednn, dnnl::convolution_backward_weights(chosen),
                       chosen.scratchpad_desc())
      .input(DNNL_ARG_SRC, conv.x, chosen.src_desc(), context.address(op.x))
      .input(DNNL_ARG_DIFF_DST, conv.y, chosen.diff_dst_desc(), context.address(op.dy))
      .output(DNNL_ARG_DIFF_WEIGHTS, conv.w, chosen.diff_weights_desc(), context.address(op.dw))
      .prepared();
}

}  // namespace simclr::cpu
