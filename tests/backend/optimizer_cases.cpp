#include <array>
#include <limits>

#include "backend/op_cases.hpp"

namespace simclr::testing {

namespace {

// Odd sizes, more than one chunk, BN parameters, a gap, and weights that are all zero.
const std::vector<ParameterSegment>& segments() {
  static const std::vector<ParameterSegment> all{
      {.offset = 0, .count = 40000, .regularized = true},
      {.offset = 40000, .count = 7, .regularized = false},
      {.offset = 40007, .count = 333, .regularized = true},
      {.offset = 40400, .count = 100, .regularized = true},
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

/// The verdict that an update reads, made by CheckFinite.
enum class Verdict { none, finite, not_finite };

std::optional<TensorId> verdict_tensor(CaseBuilder& b, Verdict verdict) {
  if (verdict == Verdict::none) return {};
  const TensorId id = b.tensor("verdict", {2}, DType::i32, Storage::output);
  b.fill(id, [=](std::int64_t i, double) {
    return verdict == Verdict::not_finite && i == 1 ? 1.0 : 0.0;
  });
  return id;
}

OpCase update(const UpdateRule& rule, Verdict verdict = Verdict::none) {
  CaseBuilder b(DType::f32);
  const Buffers t = buffers(b);
  const bool two_moments = std::holds_alternative<AdamwRule>(rule);
  b.emit(Update{.parameters = t.w,
                .gradients = t.g,
                .momentum = t.m,
                .second_moment = two_moments ? std::optional(t.v) : std::nullopt,
                .control = t.control,
                .verdict = verdict_tensor(b, verdict),
                .segments = segments(),
                .rule = rule});
  return b.build();
}
/// The second optimizer of a program, whose gradients are sums over a number of samples.
OpCase second_update(double samples) {
  CaseBuilder b(DType::f32);
  const Buffers t = buffers(b);
  const TensorId control = b.tensor("controls", {2 * kControls}, DType::f32, Storage::control);
  const TensorId sums = b.tensor("sums", {4}, DType::f64, Storage::output);
  b.fill(control, [](std::int64_t i, double) { return 0.25 + 0.5 * static_cast<double>(i); });
  b.fill(sums, [=](std::int64_t i, double random) { return i == 3 ? samples : 100 * random; });
  b.emit(Update{.parameters = t.w,
                .gradients = t.g,
                .momentum = t.m,
                .control = control,
                .segments = segments(),
                .rule = SgdRule{.nesterov = true},
                .optimizer = 1,
                .samples = sums});
  return b.build();
}
OpCase lars(Verdict verdict = Verdict::none) {
  return update(LarsRule{.weight_decay = 0.25F, .trust_coefficient = 0.5F}, verdict);
}
OpCase sgd(bool nesterov, Verdict verdict = Verdict::none) {
  return update(SgdRule{.weight_decay = 0.25F, .nesterov = nesterov}, verdict);
}
OpCase adamw(Verdict verdict = Verdict::none) {
  return update(AdamwRule{.weight_decay = 0.25F}, verdict);
}

/// One value of the loss sums, or of the gradients, is what is given; the verdict before, too.
OpCase check_finite(double of_loss, double of_gradients, std::array<double, 2> before = {0, 0}) {
  CaseBuilder b(DType::f32);
  const TensorId sums = b.tensor("sums", {3}, DType::f64, Storage::output);
  const TensorId g = b.gradient("g", {kElements});
  const TensorId verdict = b.tensor("verdict", {2}, DType::i32, Storage::output);
  b.fill(sums, [=](std::int64_t i, double random) { return i == 2 ? of_loss : random; });
  b.fill(g,
         [=](std::int64_t i, double random) { return i == kElements - 1 ? of_gradients : random; });
  b.fill(verdict, [=](std::int64_t i, double) { return before[static_cast<std::size_t>(i)]; });
  b.emit(CheckFinite{.loss_sums = sums, .gradients = g, .verdict = verdict});
  return b.build();
}

}  // namespace

std::vector<CaseEntry> optimizer_cases() {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  return {
      {.name = "lars_update", .make = [](DType) { return lars(); }},
      {.name = "lars_update_allowed", .make = [](DType) { return lars(Verdict::finite); }},
      {.name = "lars_update_skipped", .make = [](DType) { return lars(Verdict::not_finite); }},
      {.name = "sgd_update", .make = [](DType) { return sgd(false); }},
      {.name = "sgd_update_nesterov", .make = [](DType) { return sgd(true); }},
      {.name = "sgd_update_skipped", .make = [](DType) { return sgd(false, Verdict::not_finite); }},
      {.name = "sgd_update_second", .make = [](DType) { return second_update(24); }},
      {.name = "sgd_update_no_samples", .make = [](DType) { return second_update(0); }},
      {.name = "adamw_update", .make = [](DType) { return adamw(); }},
      {.name = "adamw_update_skipped", .make = [](DType) { return adamw(Verdict::not_finite); }},
      {.name = "check_finite", .make = [](DType) { return check_finite(1, 1); }},
      {.name = "check_finite_after_bad_loss",
       .make =
           [](DType) {
             return check_finite(1, 1, {1, 0});
           }},
      {.name = "check_finite_after_bad_gradient",
       .make =
           [](DType) {
             return check_finite(1, kNan, {0, 1});
           }},
      {.name = "check_finite_loss", .make = [](DType) { return check_finite(kNan, 1); }},
      {.name = "check_finite_gradient", .make = [](DType) { return check_finite(1, -kInfinity); }}};
}

}  // namespace simclr::testing
