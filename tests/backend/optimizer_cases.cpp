#include "backend/op_cases.hpp"

namespace simclr::testing {

namespace {

// Odd sizes, more than one chunk, BN parameters, a gap, and weights that are all zero.
const std::vector<ParameterSegment>& segments() {
  static const std::vector<ParameterSegment> all{
      {.offset = 0, .count = 40000, .regularised = true},
      {.offset = 40000, .count = 7, .regularised = false},
      {.offset = 40007, .count = 333, .regularised = true},
      {.offset = 40400, .count = 100, .regularised = true},
  };
  return all;
}
constexpr std::int64_t kElements = 40500;

struct Buffers {
  TensorId w, g, m, v, control;
};
Buffers buffers(CaseBuilder& b) {
  const Buffers t{.w = b.parameter("w", {kElements}),
                  .g = b.gradient("g", {kElements}),
                  .m = b.tensor("m", {kElements}, DType::f32, Storage::momentum),
                  .v = b.tensor("v", {kElements}, DType::f32, Storage::second_moment),
                  .control = b.tensor("control", {4}, DType::f32, Storage::control)};
  b.fill(t.w, [](std::int64_t i, double random) { return i >= 40400 ? 0.0 : 2 * random - 1; });
  b.fill(t.v, uniform(0, 1));
  b.fill(t.control, [](std::int64_t i, double) { return i == 0 ? 0.3 : 1.0 + double(i); });
  return t;
}

OpCase lars() {
  CaseBuilder b(DType::f32);
  const Buffers t = buffers(b);
  b.emit(LarsUpdate{.parameters = t.w,
                    .gradients = t.g,
                    .momentum = t.m,
                    .control = t.control,
                    .segments = segments(),
                    .weight_decay = 0.25F,
                    .trust_coefficient = 0.5F});
  return b.build();
}

OpCase sgd(bool nesterov) {
  CaseBuilder b(DType::f32);
  const Buffers t = buffers(b);
  b.emit(SgdUpdate{.parameters = t.w,
                   .gradients = t.g,
                   .momentum = t.m,
                   .control = t.control,
                   .segments = segments(),
                   .weight_decay = 0.25F,
                   .nesterov = nesterov});
  return b.build();
}

OpCase adamw() {
  CaseBuilder b(DType::f32);
  const Buffers t = buffers(b);
  b.emit(AdamwUpdate{.parameters = t.w,
                     .gradients = t.g,
                     .momentum = t.m,
                     .second_moment = t.v,
                     .control = t.control,
                     .segments = segments(),
                     .weight_decay = 0.25F});
  return b.build();
}

}  // namespace

std::vector<CaseEntry> optimizer_cases() {
  return {{.name = "lars_update", .make = [](DType) { return lars(); }},
          {.name = "sgd_update", .make = [](DType) { return sgd(false); }},
          {.name = "sgd_update_nesterov", .make = [](DType) { return sgd(true); }},
          {.name = "adamw_update", .make = [](DType) { return adamw(); }}};
}

}  // namespace simclr::testing
