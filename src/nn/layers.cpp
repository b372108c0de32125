#include "layers.hpp"

#include <cmath>

#include "simclr/core/check.hpp"

namespace simclr::nn {
namespace {

Shape spatial_output(const Shape& x, std::int64_t channels, const ConvGeometry& g) {
  const auto out = [&](std::int64_t extent) {
    return (extent + 2 * g.padding - g.kernel) / g.stride + 1;
  };
  return {x[0], out(x[1]), out(x[2]), channels};
}

/// The initial weights of a convolution with this many inputs of each output.
InitialValue convolution_init(std::int64_t fan_in) {
  return {InitialValue::Kind::truncated_normal, 1.0F / std::sqrt(static_cast<float>(fan_in))};
}

}  // namespace

TensorId conv(Recorder& recorder, const std::string& name, TensorId x, const ConvOptions& options) {
  const TensorInfo input = recorder.info(x);
  const ConvGeometry g = options.geometry;
  const std::int64_t fan_in = input.shape[-1] * g.kernel * g.kernel;
  const TensorId w =
      recorder.parameter(name + ".weight", {options.channels, g.kernel, g.kernel, input.shape[-1]},
                         convolution_init(fan_in), true);
  const TensorId y =
      recorder.tensor(name + ".y", spatial_output(input.shape, options.channels, g), input.dtype);
  recorder.emit(ConvForward{x, w, y, g});
  recorder.on_backward([=, input_gradient = recorder.needs_gradient(x)](Recorder& r) {
    const TensorId dy = r.gradient(y);
    r.emit(ConvBackwardWeights{x, dy, r.parameter_gradient(w), g});
    if (input_gradient) r.emit(ConvBackwardData{dy, w, r.contribute(x), g});
  });
  return y;
}

TensorId linear(Recorder& recorder, const std::string& name, TensorId x,
                const LinearOptions& options) {
  const Shape input = recorder.info(x).shape;
  const auto kind =
      options.initial_stddev > 0 ? InitialValue::Kind::normal : InitialValue::Kind::constant;
  const TensorId w = options.pointwise
                         ? recorder.parameter(name + ".weight", {options.channels, 1, 1, input[-1]},
                                              convolution_init(input[-1]), options.regularized)
                         : recorder.parameter(name + ".weight", {options.channels, input[-1]},
                                              {kind, options.initial_stddev}, options.regularized);
  std::optional<TensorId> bias;
  if (options.with_bias) {
    bias = recorder.parameter(name + ".bias", {options.channels}, {InitialValue::Kind::constant, 0},
                              options.bias_regularized);
  }
  const TensorId y = recorder.tensor(name + ".y", {input[0], options.channels}, DType::f32);
  recorder.emit(MatMul{x, w, bias, y});
  const bool input_gradient = recorder.needs_gradient(x) && !options.stops_gradient;
  recorder.on_backward([=](Recorder& r) {
    const TensorId dy = r.gradient(y);
    r.emit(MatMulBackwardWeights{x, dy, r.parameter_gradient(w),
                                 bias ? std::optional(r.parameter_gradient(*bias)) : std::nullopt});
    if (input_gradient) r.emit(MatMulBackwardData{dy, w, r.contribute(x)});
  });
  return y;
}

TensorId pack_input(Recorder& recorder, TensorId views) {
  const TensorInfo input = recorder.info(views);
  const TensorId x = recorder.tensor("x", input.shape, input.dtype);
  recorder.emit(PackInput{views, x});
  return x;
}

TensorId max_pool(Recorder& recorder, TensorId x, PoolPadding padding) {
  const TensorInfo input = recorder.info(x);
  const Shape shape = spatial_output(input.shape, input.shape[-1], {3, 2, 1});
  require(input.shape[1] == input.shape[2], "views are squares");
  const bool at_first_pixel = padding == PoolPadding::same && input.shape[1] % 2 == 0;
  const ConvGeometry geometry{3, 2, at_first_pixel ? 0 : 1};
  const TensorId y = recorder.tensor("maxpool.y", shape, input.dtype);
  const TensorId argmax = recorder.tensor("maxpool.argmax", shape, DType::u8);
  recorder.emit(MaxPool{x, y, argmax, geometry});
  recorder.on_backward([=](Recorder& r) {
    const TensorId dy = r.gradient(y);
    r.emit(MaxPoolBackward{dy, argmax, r.contribute(x), geometry});
  });
  return y;
}

TensorId avg_pool(Recorder& recorder, TensorId x, int stride) {
  const TensorInfo input = recorder.info(x);
  const ConvGeometry geometry{2, stride, 0};
  const auto out = [&](std::int64_t extent) { return (extent + stride - 1) / stride; };
  const Shape shape{input.shape[0], out(input.shape[1]), out(input.shape[2]), input.shape[-1]};
  const TensorId y = recorder.tensor("avgpool.y", shape, input.dtype);
  const bool whole_windows = stride > 1;
  recorder.emit(AvgPool{x, y, geometry, whole_windows});
  recorder.on_backward([=](Recorder& r) {
    const TensorId dy = r.gradient(y);
    r.emit(AvgPoolBackward{dy, r.contribute(x), geometry, whole_windows});
  });
  return y;
}

TensorId global_avg_pool(Recorder& recorder, TensorId z, Storage storage, int streams) {
  const Shape shape = recorder.info(z).shape;
  const TensorId h = recorder.tensor("h", {shape[0], shape[-1] / streams}, DType::f32, storage);
  recorder.emit(GlobalAvgPool{z, h});
  recorder.on_backward([=](Recorder& r) {
    const TensorId dh = r.gradient(h);
    r.emit(GlobalAvgPoolBackward{dh, r.contribute(z)});
  });
  return h;
}

TensorId select_streams(Recorder& recorder, TensorId x, TensorId m) {
  const TensorInfo input = recorder.info(x);
  const Shape& shape = input.shape;
  const TensorId y =
      recorder.tensor("select.y", {shape[0], shape[1], shape[2], shape[-1] / 2}, input.dtype);
  recorder.emit(SelectStreams{x, m, y});
  recorder.on_backward([=](Recorder& r) {
    const TensorId dy = r.gradient(y);
    const TensorId dx = r.contribute(x);
    r.emit(SelectStreamsBackward{dy, x, m, dx, r.contribute(m)});
  });
  return y;
}

}  // namespace simclr::nn
