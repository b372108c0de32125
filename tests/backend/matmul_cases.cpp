#include "backend/op_cases.hpp"

namespace simclr::testing {

namespace {

/// V rows, C to K columns.
struct MatMulShape {
  std::string name;
  std::int64_t rows, in, out;
  bool bias;
};

const std::vector<MatMulShape>& matmul_shapes() {
  static const std::vector<MatMulShape> all{
      {"", 6, 48, 32, false},           {"_odd", 7, 19, 37, false},
      {"_bias", 5, 21, 10, true},       {"_bias_whole_blocks", 9, 32, 16, true},
      {"_two_classes", 4, 16, 2, true}, {"_one_row", 1, 35, 128, false}};
  return all;
}

OpCase forward(const MatMulShape& shape) {
  CaseBuilder builder(DType::f32);
  const auto x = builder.activation("x", {shape.rows, shape.in});
  const auto w = builder.parameter("w", {shape.out, shape.in});
  MatMul op{.x = x, .w = w};
  if (shape.bias) op.bias = builder.parameter("bias", {shape.out});
  op.y = builder.activation("y", {shape.rows, shape.out});
  return builder.emit(op).build();
}

OpCase backward_data(const MatMulShape& shape) {
  CaseBuilder builder(DType::f32);
  const auto dy = builder.activation("dy", {shape.rows, shape.out});
  const auto w = builder.parameter("w", {shape.out, shape.in});
  const auto dx = builder.activation("dx", {shape.rows, shape.in});
  return builder.emit(MatMulBackwardData{.dy = dy, .w = w, .dx = dx}).build();
}

OpCase backward_weights(const MatMulShape& shape) {
  CaseBuilder builder(DType::f32);
  const auto x = builder.activation("x", {shape.rows, shape.in});
  const auto dy = builder.activation("dy", {shape.rows, shape.out});
  MatMulBackwardWeights op{.x = x, .dy = dy, .dw = builder.gradient("dw", {shape.out, shape.in})};
  if (shape.bias) op.dbias = builder.gradient("dbias", {shape.out});
  return builder.emit(op).build();
}

}  // namespace

std::vector<CaseEntry> matmul_cases() {
  std::vector<CaseEntry> entries;
  for (const MatMulShape& shape : matmul_shapes()) {
    entries.push_back({"matmul" + shape.name, [=](DType) { return forward(shape); }});
    entries.push_back(
        {"matmul_backward_data" + shape.name, [=](DType) { return backward_data(shape); }});
    entries.push_back(
        {"matmul_backward_weights" + shape.name, [=](DType) { return backward_weights(shape); }});
  }
  return entries;
}

std::vector<GradientCase> matmul_gradient_cases() {
  CaseBuilder builder(DType::f64);
  const auto x = builder.activation("x", {3, 5});
  const auto w = builder.parameter("w", {4, 5});
  const auto bias = builder.parameter("bias", {4});
  const auto y = builder.activation("y", {3, 4});
  const auto dy = builder.activation("dy", {3, 4});
  const auto dx = builder.activation("dx", {3, 5});
  const auto dw = builder.gradient("dw", {4, 5});
  const auto dbias = builder.gradient("dbias", {4});
  builder.emit(MatMul{.x = x, .w = w, .bias = bias, .y = y});
  builder.emit(MatMulBackwardData{.dy = dy, .w = w, .dx = dx});
  builder.emit(MatMulBackwardWeights{.x = x, .dy = dy, .dw = dw, .dbias = dbias});
  Program program = builder.build().program;
  program.backward_begin = 1;
  return {{.name = "matmul",
           .program = std::move(program),
           .fills = {},
           .gradients = {{x, dx}, {w, dw}, {bias, dbias}},
           .objective = inner_product(y, dy)}};
}

}  // namespace simclr::testing
