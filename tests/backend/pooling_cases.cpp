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

/// ResNet-D's: the last window of stride 2 over an odd number of pixels, and all last ones of
/// stride 1, reach over the edge.
const std::vector<PoolCase>& averages() {
  static const std::vector<PoolCase> all{
      {"2x2_stride2", {2, 6, 8, 32}, {2, 3, 4, 32}, {2, 2, 0}},
      {"2x2_stride2_odd", {2, 7, 5, 21}, {2, 4, 3, 21}, {2, 2, 0}},
      {"2x2_stride1", {3, 4, 5, 21}, {3, 4, 5, 21}, {2, 1, 0}},
      {"3x3_stride2", {1, 7, 9, 18}, {1, 4, 5, 18}, {3, 2, 1}},
  };
  return all;
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
  entries.push_back(activation_case("max_pool_" + pool.name, [=](CaseBuilder& b) {
    const PoolTensors t = pool_tensors(pool, b);
    b.emit(MaxPool{.x = t.x, .y = t.y, .argmax = t.argmax, .geometry = pool.geometry});
  }));
  entries.push_back(activation_case("max_pool_ties_" + pool.name, [=](CaseBuilder& b) {
    const PoolTensors t = pool_tensors(pool, b);
    b.fill(t.x, whole_numbers(-2, 0));
    b.emit(MaxPool{.x = t.x, .y = t.y, .argmax = t.argmax, .geometry = pool.geometry});
  }));
  entries.push_back(activation_case("max_pool_backward_" + pool.name, [=](CaseBuilder& b) {
    const PoolTensors t = pool_tensors(pool, b);
    b.emit(MaxPool{.x = t.x, .y = t.y, .argmax = t.argmax, .geometry = pool.geometry});
    b.emit(MaxPoolBackward{.dy = t.dy, .argmax = t.argmax, .dx = t.dx, .geometry = pool.geometry});
  }));
}

/// Means over windows; `whole` as AvgPool's whole_windows.
void add_average_pool_cases(std::vector<CaseEntry>& entries, const PoolCase& pool, bool whole) {
  const std::string name = pool.name + (whole ? "_whole" : "");
  entries.push_back(activation_case("avg_pool_" + name, [=](CaseBuilder& b) {
    const TensorId x = b.activation("x", pool.x);
    b.emit(AvgPool{
        .x = x, .y = b.activation("y", pool.y), .geometry = pool.geometry, .whole_windows = whole});
  }));
  entries.push_back(activation_case("avg_pool_backward_" + name, [=](CaseBuilder& b) {
    const TensorId dy = b.activation("dy", pool.y);
    b.emit(AvgPoolBackward{.dy = dy,
                           .dx = b.activation("dx", pool.x),
                           .geometry = pool.geometry,
                           .whole_windows = whole});
  }));
}

struct StreamTensors {
  TensorId x, m, y, dy, dx, dm;
};
/// `shape`: that of one stream.
StreamTensors stream_tensors(CaseBuilder& b, Shape shape) {
  const Shape both{shape[0], shape[1], shape[2], 2 * shape[3]};
  return {.x = b.activation("x", both),
          .m = b.tensor("m", {shape[0], 2 * shape[3]}, DType::f32),
          .y = b.activation("y", shape),
          .dy = b.activation("dy", shape),
          .dx = b.activation("dx", both),
          .dm = b.tensor("dm", {shape[0], 2 * shape[3]}, DType::f32)};
}

void add_stream_cases(std::vector<CaseEntry>& entries, const std::string& name, Shape shape,
                      double largest_logit) {
  const auto add = [&](const std::string& verb, auto emit) {
    entries.push_back(activation_case(verb + name, [=](CaseBuilder& b) {
      const StreamTensors t = stream_tensors(b, shape);
      b.fill(t.m, uniform(-largest_logit, largest_logit));
      emit(b, t);
    }));
  };
  add("select_streams_", [](CaseBuilder& b, const StreamTensors& t) {
    b.emit(SelectStreams{.x = t.x, .m = t.m, .y = t.y});
  });
  add("select_streams_backward_", [](CaseBuilder& b, const StreamTensors& t) {
    b.emit(SelectStreamsBackward{.dy = t.dy, .x = t.x, .m = t.m, .dx = t.dx, .dm = t.dm});
  });
}

void add_average_cases(std::vector<CaseEntry>& entries, const std::string& name, Shape z_shape,
                       std::int64_t streams = 1) {
  const Shape h_shape{z_shape[0], z_shape[-1] / streams};
  entries.push_back(activation_case("global_avg_pool_" + name, [=](CaseBuilder& b) {
    const TensorId z = b.activation("z", z_shape);
    b.emit(GlobalAvgPool{.z = z, .h = b.tensor("h", h_shape, DType::f32)});
  }));
  entries.push_back(activation_case("global_avg_pool_backward_" + name, [=](CaseBuilder& b) {
    const TensorId dh = b.tensor("dh", h_shape, DType::f32);
    b.emit(GlobalAvgPoolBackward{.dh = dh, .dz = b.activation("dz", z_shape)});
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

GradientCase average_pool_gradient(const std::string& name, const PoolCase& pool, bool whole) {
  CaseBuilder b(DType::f64);
  const TensorId x = b.activation("x", pool.x);
  const TensorId y = b.activation("y", pool.y);
  const TensorId dy = b.activation("dy", pool.y);
  const TensorId dx = b.activation("dx", pool.x);
  b.emit(AvgPool{.x = x, .y = y, .geometry = pool.geometry, .whole_windows = whole});
  b.emit(AvgPoolBackward{.dy = dy, .dx = dx, .geometry = pool.geometry, .whole_windows = whole});
  Program program = b.build().program;
  program.backward_begin = 1;
  return {.name = name,
          .program = std::move(program),
          .fills = {},
          .gradients = {{x, dx}},
          .objective = inner_product(y, dy)};
}

/// A selective kernel's streams, from their sum of means to their mixture.
GradientCase stream_gradient() {
  CaseBuilder b(DType::f64);
  const StreamTensors t = stream_tensors(b, {2, 3, 2, 5});
  b.emit(SelectStreams{.x = t.x, .m = t.m, .y = t.y});
  b.emit(SelectStreamsBackward{.dy = t.dy, .x = t.x, .m = t.m, .dx = t.dx, .dm = t.dm});
  Program program = b.build().program;
  program.backward_begin = 1;
  return {.name = "select_streams",
          .program = std::move(program),
          .fills = {},
          .gradients = {{t.x, t.dx}, {t.m, t.dm}},
          .objective = inner_product(t.y, t.dy)};
}

GradientCase average_of_streams_gradient() {
  CaseBuilder b(DType::f64);
  const TensorId z = b.activation("z", {2, 3, 2, 6});
  const TensorId h = b.activation("h", {2, 3});
  const TensorId dh = b.activation("dh", {2, 3});
  const TensorId dz = b.activation("dz", {2, 3, 2, 6});
  b.emit(GlobalAvgPool{.z = z, .h = h}).emit(GlobalAvgPoolBackward{.dh = dh, .dz = dz});
  Program program = b.build().program;
  program.backward_begin = 1;
  return {.name = "global_avg_pool_of_streams",
          .program = std::move(program),
          .fills = {},
          .gradients = {{z, dz}},
          .objective = inner_product(h, dh)};
}

}  // namespace

std::vector<CaseEntry> pooling_cases() {
  std::vector<CaseEntry> entries;
  for (const PoolCase& pool : pools()) add_pool_cases(entries, pool);
  for (const bool whole : {false, true}) {
    for (const PoolCase& pool : averages()) add_average_pool_cases(entries, pool, whole);
  }
  add_average_cases(entries, "7x7", {3, 7, 7, 40});
  add_average_cases(entries, "1x1", {2, 1, 1, 16});
  add_average_cases(entries, "of_streams", {3, 5, 4, 96}, 2);
  add_stream_cases(entries, "16_channels", {3, 5, 3, 16}, 2);
  add_stream_cases(entries, "one_pixel", {2, 1, 1, 64}, 2);
  add_stream_cases(entries, "many_channels", {2, 7, 7, 144}, 2);
  add_stream_cases(entries, "one_stream_alone", {2, 4, 4, 16}, 200);
  return entries;
}

std::vector<GradientCase> pooling_gradient_cases() {
  return {pool_gradient(), average_pool_gradient("avg_pool", averages()[1], false),
          average_pool_gradient("avg_pool_whole", averages()[1], true), stream_gradient(),
          average_of_streams_gradient()};
}

}  // namespace simclr::testing
