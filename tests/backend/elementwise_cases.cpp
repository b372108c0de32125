#include "backend/op_cases.hpp"

namespace simclr::testing {

namespace {

void add_join_cases(std::vector<CaseEntry>& entries, const std::string& name, Shape shape) {
  entries.push_back(activation_case("add_into_" + name, [=](CaseBuilder& b) {
    const TensorId from = b.activation("from", shape);
    b.emit(AddInto{.from = from, .into = b.activation("into", shape)});
  }));
  entries.push_back(activation_case("relu_" + name, [=](CaseBuilder& b) {
    const TensorId y = b.activation("y", shape);
    b.emit(Relu{.y = y, .z = b.activation("z", shape)});
  }));
  entries.push_back(activation_case("relu_backward_" + name, [=](CaseBuilder& b) {
    const TensorId dz = b.activation("dz", shape);
    const TensorId z = b.activation("z", shape);
    b.emit(ReluBackward{.dz = dz, .z = z, .dy = b.activation("dy", shape)});
  }));
}

GradientCase average_and_relu_gradient() {
  CaseBuilder b(DType::f64);
  const TensorId z = b.activation("z", {2, 3, 2, 5});
  const TensorId h = b.activation("h", {2, 5});
  const TensorId out = b.activation("out", {2, 5});
  const TensorId dout = b.activation("dout", {2, 5});
  const TensorId dh = b.activation("dh", {2, 5});
  const TensorId dz = b.activation("dz", {2, 3, 2, 5});
  b.emit(GlobalAvgPool{.z = z, .h = h}).emit(Relu{.y = h, .z = out});
  b.emit(ReluBackward{.dz = dout, .z = out, .dy = dh});
  b.emit(GlobalAvgPoolBackward{.dh = dh, .dz = dz});
  Program program = b.build().program;
  program.backward_begin = 2;
  return {.name = "global_avg_pool_and_relu",
          .program = std::move(program),
          .fills = {},
          .gradients = {{z, dz}},
          .objective = inner_product(out, dout)};
}

}  // namespace

std::vector<CaseEntry> elementwise_cases() {
  std::vector<CaseEntry> entries;
  add_join_cases(entries, "images", {3, 5, 4, 37});
  add_join_cases(entries, "vectors", {70, 130});
  entries.push_back(activation_case("pack_input", [](CaseBuilder& b) {
    const TensorId views = b.tensor("views", {3, 5, 7, 3}, b.activation(), Storage::input);
    b.emit(PackInput{.views = views, .x = b.activation("x", {3, 5, 7, 3})});
  }));
  return entries;
}

std::vector<GradientCase> elementwise_gradient_cases() { return {average_and_relu_gradient()}; }

}  // namespace simclr::testing
