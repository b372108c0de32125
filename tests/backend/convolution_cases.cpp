#include <fmt/format.h>

#include "backend/op_cases.hpp"

namespace simclr::testing {

namespace {

/// One convolution: V images of H x W, C to K channels.
struct ConvShape {
  std::string name;
  std::int64_t images, height, width, in, out;
  ConvGeometry geometry;

  [[nodiscard]] Shape x() const { return {images, height, width, in}; }
  [[nodiscard]] Shape w() const { return {out, geometry.kernel, geometry.kernel, in}; }
  [[nodiscard]] Shape y() const {
    const auto extent = [&](std::int64_t size) {
      return (size + std::int64_t{2} * geometry.padding - geometry.kernel) / geometry.stride + 1;
    };
    return {images, extent(height), extent(width), out};
  }
};

const std::vector<ConvShape>& conv_shapes() {
  static const std::vector<ConvShape> all{
      {"1x1", 2, 5, 7, 32, 48, {1, 1, 0}},
      {"1x1_odd_channels", 3, 4, 5, 21, 35, {1, 1, 0}},
      {"1x1_stride2", 2, 7, 6, 16, 40, {1, 2, 0}},
      {"3x3", 2, 6, 5, 16, 32, {3, 1, 1}},
      {"3x3_few_channels", 2, 5, 6, 8, 8, {3, 1, 1}},
      {"3x3_very_few_channels", 2, 5, 6, 4, 2, {3, 1, 1}},
      {"3x3_odd_channels", 1, 7, 5, 19, 23, {3, 1, 1}},
      {"3x3_stride2", 2, 8, 8, 24, 40, {3, 2, 1}},
      {"3x3_stride2_odd_size", 3, 7, 9, 5, 17, {3, 2, 1}},
      {"3x3_one_pixel", 4, 1, 1, 64, 64, {3, 1, 1}},
      {"3x3_cifar_stem", 3, 9, 8, 3, 24, {3, 1, 1}},
      {"7x7_imagenet_stem", 2, 19, 17, 3, 16, {7, 2, 3}},
      {"7x7_imagenet_stem_odd_channels", 1, 16, 16, 3, 10, {7, 2, 3}},
  };
  return all;
}

/// Weights that the activations' type can hold: what is left is the rounding of the results.
TensorId weights(CaseBuilder& builder, const ConvShape& shape) {
  const TensorId w = builder.parameter("w", shape.w());
  const DType type = builder.activation();
  builder.fill(w, [=](std::int64_t, double random) { return rounded_to(type, 2 * random - 1); });
  return w;
}

OpCase forward(const ConvShape& shape, DType activation) {
  CaseBuilder builder(activation);
  const auto x = builder.activation("x", shape.x());
  const auto w = weights(builder, shape);
  const auto y = builder.activation("y", shape.y());
  builder.emit(ConvForward{.x = x, .w = w, .y = y, .geometry = shape.geometry});
  return builder.build();
}

OpCase backward_data(const ConvShape& shape, DType activation) {
  CaseBuilder builder(activation);
  const auto dy = builder.activation("dy", shape.y());
  const auto w = weights(builder, shape);
  const auto dx = builder.activation("dx", shape.x());
  builder.emit(ConvBackwardData{.dy = dy, .w = w, .dx = dx, .geometry = shape.geometry});
  return builder.build();
}

OpCase backward_weights(const ConvShape& shape, DType activation) {
  CaseBuilder builder(activation);
  const auto x = builder.activation("x", shape.x());
  const auto dy = builder.activation("dy", shape.y());
  const auto dw = builder.gradient("dw", shape.w());
  builder.emit(ConvBackwardWeights{.x = x, .dy = dy, .dw = dw, .geometry = shape.geometry});
  return builder.build();
}

GradientCase gradient(const ConvShape& shape) {
  CaseBuilder builder(DType::f64);
  const auto x = builder.activation("x", shape.x());
  const auto w = builder.parameter("w", shape.w());
  const auto y = builder.activation("y", shape.y());
  const auto dy = builder.activation("dy", shape.y());
  const auto dx = builder.activation("dx", shape.x());
  const auto dw = builder.gradient("dw", shape.w());
  builder.emit(ConvForward{.x = x, .w = w, .y = y, .geometry = shape.geometry});
  const std::size_t backward_begin = builder.build().program.ops.size();
  builder.emit(ConvBackwardData{.dy = dy, .w = w, .dx = dx, .geometry = shape.geometry});
  builder.emit(ConvBackwardWeights{.x = x, .dy = dy, .dw = dw, .geometry = shape.geometry});
  Program program = builder.build().program;
  program.backward_begin = backward_begin;
  return {.name = "conv_" + shape.name,
          .program = std::move(program),
          .fills = {},
          .gradients = {{x, dx}, {w, dw}},
          .objective = inner_product(y, dy)};
}

}  // namespace

std::vector<CaseEntry> convolution_cases() {
  std::vector<CaseEntry> entries;
  for (const ConvShape& shape : conv_shapes()) {
    entries.push_back({.name = "conv_forward_" + shape.name,
                       .make = [=](DType activation) { return forward(shape, activation); },
                       .mixed_precision = true});
    // The gradient of images is never asked for.
    if (shape.in != 3) {
      entries.push_back({.name = "conv_backward_data_" + shape.name,
                         .make = [=](DType activation) { return backward_data(shape, activation); },
                         .mixed_precision = true});
    }
    entries.push_back(
        {.name = "conv_backward_weights_" + shape.name,
         .make = [=](DType activation) { return backward_weights(shape, activation); },
         .mixed_precision = true});
  }
  return entries;
}

std::vector<GradientCase> convolution_gradient_cases() {
  return {gradient({"1x1_stride2", 2, 3, 4, 3, 2, {1, 2, 0}}),
          gradient({"3x3", 2, 4, 3, 2, 3, {3, 1, 1}}),
          gradient({"3x3_stride2", 1, 5, 4, 2, 3, {3, 2, 1}}),
          gradient({"7x7_stride2", 1, 8, 7, 2, 2, {7, 2, 3}})};
}

}  // namespace simclr::testing
