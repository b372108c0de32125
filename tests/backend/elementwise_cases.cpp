#include "backend/op_cases.hpp"

namespace simclr::testing {

namespace {

struct PoolCase {
  std::string name;
  Shape x, y;
  ConvGeometry geometry;
};

const std::vector<PoolCase>& pools() {
  static const std::vector<PoolCase> all{
      {"3x3_stride2", {2, 8, 8, 32}, {2, 4, 4, 32}, {3, 2, 1}},
      {"3x3_stride2_same", {2, 8, 8, 32}, {2, 4, 4, 32}, {3, 2, 0}},
      {"3x3_stride2_odd", {3, 7, 9, 21}, {3, 4, 5, 21}, {3, 2, 1}},
      {"2x2_stride2", {2, 6, 5, 16}, {2, 3, 2, 16}, {2, 2, 0}},
      {"3x3_stride1", {1, 4, 3, 18}, {1, 4, 3, 18}, {3, 1, 1}},
  };
  return all;
}

/// Values of one activation type through one op that `record` emits.
template <class Record>
CaseEntry entry(const std::string& name, Record record) {
  return {.name = name,
          .make =
              [=](DType activation) {
                CaseBuilder builder(activation);
                record(builder);
                return builder.build();
              },
          .mixed_precision = true};
}

struct PoolTensors {
  TensorId x, y, argmax, dy, dx;
};
PoolTensors pool_tensors(const PoolCase& pool, CaseBuilder& builder) {
  return {.x = builder.activation("x", pool.x),
          .y = builder.activation("y", pool.y),
          .argmax = builder.tensor("argmax", pool.y, DType::u8),
          .dy = builder.activation("dy", pool.y),
          .dx = builder.activation("dx", pool.x)};
}

void add_pool_cases(std::vector<CaseEntry>& entries, const PoolCase& pool) {
  entries.push_back(entry("max_pool_" + pool.name, [=](CaseBuilder& b) {
    const PoolTensors t = pool_tensors(pool, b);
    b.emit(MaxPool{.x = t.x, .y = t.y, .argmax = t.argmax, .geometry = pool.geometry});
  }));
  entries.push_back(entry("max_pool_ties_" + pool.name, [=](CaseBuilder& b) {
    const PoolTensors t = pool_tensors(pool, b);
    b.fill(t.x, whole_numbers(-2, 0));
    b.emit(MaxPool{.x = t.x, .y = t.y, .argmax = t.argmax, .geometry = pool.geometry});
  }));
  entries.push_back(entry("max_pool_backward_" + pool.name, [=](CaseBuilder& b) {
    const PoolTensors t = pool_tensors(pool, b);
    b.emit(MaxPool{.x = t.x, .y = t.y, .argmax = t.argmax, .geometry = pool.geometry});
    b.emit(MaxPoolBackward{.dy = t.dy, .argmax = t.argmax, .dx = t.dx, .geometry = pool.geometry});
  }));
}

void add_average_cases(std::vector<CaseEntry>& entries, const std::string& name, Shape z_shape) {
  const Shape h_shape{z_shape[0], z_shape[-1]};
  entries.push_back(entry("global_avg_pool_" + name, [=](CaseBuilder& b) {
    const TensorId z = b.activation("z", z_shape);
    b.emit(GlobalAvgPool{.z = z, .h = b.tensor("h", h_shape, DType::f32)});
  }));
  entries.push_back(entry("global_avg_pool_backward_" + name, [=](CaseBuilder& b) {
    const TensorId dh = b.tensor("dh", h_shape, DType::f32);
    b.emit(GlobalAvgPoolBackward{.dh = dh, .dz = b.activation("dz", z_shape)});
  }));
}

void add_join_cases(std::vector<CaseEntry>& entries, const std::string& name, Shape shape) {
  entries.push_back(entry("add_into_" + name, [=](CaseBuilder& b) {
    const TensorId from = b.activation("from", shape);
    b.emit(AddInto{.from = from, .into = b.activation("into", shape)});
  }));
  entries.push_back(entry("relu_" + name, [=](CaseBuilder& b) {
    const TensorId y = b.activation("y", shape);
    b.emit(Relu{.y = y, .z = b.activation("z", shape)});
  }));
  entries.push_back(entry("relu_backward_" + name, [=](CaseBuilder& b) {
    const TensorId dz = b.activation("dz", shape);
    const TensorId z = b.activation("z", shape);
    b.emit(ReluBackward{.dz = dz, .z = z, .dy = b.activation("dy", shape)});
  }));
}

GradientCase pool_gradient() {
  const PoolCase pool{"", {2, 7, 6, 3}, {2, 4, 3, 3}, {3, 2, 1}};
  CaseBuilder builder(DType::f64);
  const PoolTensors t = pool_tensors(pool, builder);
  builder.emit(MaxPool{.x = t.x, .y = t.y, .argmax = t.argmax, .geometry = pool.geometry});
  builder.emit(
      MaxPoolBackward{.dy = t.dy, .argmax = t.argmax, .dx = t.dx, .geometry = pool.geometry});
  Program program = builder.build().program;
  program.backward_begin = 1;
  return {.name = "max_pool",
          .program = std::move(program),
          .fills = {},
          .gradients = {{t.x, t.dx}},
          .objective = inner_product(t.y, t.dy)};
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
  for (const PoolCase& pool : pools()) add_pool_cases(entries, pool);
  add_average_cases(entries, "7x7", {3, 7, 7, 40});
  add_average_cases(entries, "1x1", {2, 1, 1, 16});
  add_join_cases(entries, "images", {3, 5, 4, 37});
  add_join_cases(entries, "vectors", {70, 130});
  entries.push_back(entry("pack_input", [](CaseBuilder& b) {
    const TensorId views = b.tensor("views", {3, 5, 7, 3}, b.activation(), Storage::input);
    b.emit(PackInput{.views = views, .x = b.activation("x", {3, 5, 7, 3})});
  }));
  return entries;
}

std::vector<GradientCase> elementwise_gradient_cases() {
  return {pool_gradient(), average_and_relu_gradient()};
}

}  // namespace simclr::testing
