#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <utility>

#include "backend/op_cases.hpp"

namespace simclr::testing {

namespace {

/// u (V,D) is block `rank` of u_all (R*V,D).
struct LossCase {
  std::int64_t views, dimensions;
  int ranks, rank;
  float temperature;
};

const std::vector<LossCase>& losses() {
  static const std::vector<LossCase> all{
      {.views = 2, .dimensions = 16, .ranks = 1, .rank = 0, .temperature = 0.5F},
      {.views = 22, .dimensions = 24, .ranks = 1, .rank = 0, .temperature = 0.1F},
      {.views = 30, .dimensions = 128, .ranks = 4, .rank = 2, .temperature = 0.5F},
      {.views = 150, .dimensions = 20, .ranks = 7, .rank = 3, .temperature = 0.1F},
      {.views = 90, .dimensions = 32, .ranks = 6, .rank = 5, .temperature = 0.01F},
      {.views = 90, .dimensions = 32, .ranks = 6, .rank = 0, .temperature = 100},
      {.views = 66, .dimensions = 200, .ranks = 2, .rank = 1, .temperature = 0.1F},
      {.views = 10, .dimensions = 300, .ranks = 1, .rank = 0, .temperature = 0.5F},
  };
  return all;
}

/// Rows of at most about unit length, the same for u and for its block of u_all. The values are of
/// the type in which they are multiplied: products are then exact, and errors those of the kernels.
Fill embeddings(const LossCase& loss, DType similarity, std::int64_t first_row) {
  const double scale = std::sqrt(1.5 / static_cast<double>(loss.dimensions));
  return [=, begin = first_row * loss.dimensions](std::int64_t index, double) {
    const double phase = 12.9898 * static_cast<double>(begin + index + 1);
    const double hashed = std::sin(phase) * 43758.5453;
    return rounded_to(similarity, scale * (2 * (hashed - std::floor(hashed)) - 1));
  };
}

struct LossTensors {
  TensorId u, u_all, lse, lse_all, sums, all_sums, control, du;
};
LossTensors loss_tensors(const LossCase& loss, CaseBuilder& b) {
  const DType similarity = b.activation();
  const std::int64_t all = loss.views * loss.ranks;
  const LossTensors t{.u = b.tensor("u", {loss.views, loss.dimensions}, DType::f32),
                      .u_all = b.tensor("u_all", {all, loss.dimensions}, DType::f32),
                      .lse = b.tensor("lse", {loss.views}, DType::f32),
                      .lse_all = b.tensor("lse_all", {all}, DType::f32),
                      .sums = b.tensor("sums", {3}, DType::f64, Storage::output),
                      .all_sums = b.tensor("all_sums", {3}, DType::f64, Storage::output),
                      .control = b.tensor("control", {4}, DType::f32, Storage::control),
                      .du = b.tensor("du", {loss.views, loss.dimensions}, DType::f32)};
  b.fill(t.u_all, embeddings(loss, similarity, 0))
      .fill(t.u, embeddings(loss, similarity, loss.rank * loss.views));
  b.fill(t.control, [](std::int64_t i, double) { return i == 3 ? 4.0 : 0.0; });  // loss scale
  return t;
}

// Similarities are f32, and what is exponentiated is 1/T times larger. The gradient's weights enter
// the second product in 16 bits, where they do: half a unit in the last place each, of which the
// partner's weight (up to 2, as all others together) has the largest share.
Tolerance gradient_tolerance(const LossCase& loss, DType similarity) {
  const double rounding = similarity == DType::bf16  ? 0x1p-9
                          : similarity == DType::f16 ? 0x1p-12
                                                     : 0;
  const double error = 5e-6 + 1e-6 / static_cast<double>(loss.temperature) + 2 * rounding;
  return {.relative = error, .absolute = error};
}

OpCase forward(const LossCase& loss, DType similarity) {
  CaseBuilder b(similarity);
  const LossTensors t = loss_tensors(loss, b);
  b.tolerance(t.sums, {.relative = 1e-6, .absolute = 1e-6});
  b.emit(ContrastiveForward{.u = t.u,
                            .u_all = t.u_all,
                            .statistic = t.lse,
                            .sums = t.sums,
                            .loss = {.temperature = loss.temperature},
                            .rank = loss.rank,
                            .similarity = similarity});
  return b.build();
}

OpCase backward(const LossCase& loss, DType similarity) {
  CaseBuilder b(similarity);
  const LossTensors t = loss_tensors(loss, b);
  b.tolerance(t.du, gradient_tolerance(loss, similarity));
  const auto forward_of = [&](TensorId u, TensorId lse, TensorId sums, int rank) {
    b.emit(ContrastiveForward{.u = u,
                              .u_all = t.u_all,
                              .statistic = lse,
                              .sums = sums,
                              .loss = {.temperature = loss.temperature},
                              .rank = rank});
  };
  forward_of(t.u, t.lse, t.sums, loss.rank);
  forward_of(t.u_all, t.lse_all, t.all_sums, 0);
  b.emit(ContrastiveBackward{.u = t.u,
                             .u_all = t.u_all,
                             .statistic_all = t.lse_all,
                             .control = t.control,
                             .du = t.du,
                             .loss = {.temperature = loss.temperature},
                             .rank = loss.rank,
                             .similarity = similarity});
  return b.build();
}

OpCase normalize(bool is_backward) {
  CaseBuilder b(DType::f32);
  const Shape shape{9, 37};
  const TensorId z = b.tensor("z", shape, DType::f32);
  const TensorId u = b.tensor("u", shape, DType::f32);
  const TensorId inverse_norm = b.tensor("inverse_norm", {shape[0]}, DType::f32);
  b.emit(L2Normalize{.z = z, .u = u, .inverse_norm = inverse_norm});
  if (is_backward) {
    const TensorId du = b.tensor("du", shape, DType::f32);
    const TensorId dz = b.tensor("dz", shape, DType::f32);
    b.emit(L2NormalizeBackward{.u = u, .inverse_norm = inverse_norm, .du = du, .dz = dz});
  }
  return b.build();
}

// A row of zeros: its norm is taken as 1e-12.
OpCase normalize_zero() {
  OpCase zero = normalize(false);
  const auto& op = std::get<L2Normalize>(zero.op());
  zero.fills[op.z] = [](std::int64_t, double) { return 0.0; };
  return zero;
}

/// Rows of `dimensions` values about 1/sqrt(D), which differ by at most `spread` of that.
OpCase deviation(std::int64_t rows, std::int64_t dimensions, double spread) {
  CaseBuilder b(DType::f32);
  const TensorId u = b.tensor("u", {rows, dimensions}, DType::f32);
  const TensorId deviation = b.tensor("deviation", {1}, DType::f64, Storage::output);
  const double size = 1 / std::sqrt(static_cast<double>(dimensions));
  b.fill(u, [=](std::int64_t, double random) { return size * (1 + spread * (2 * random - 1)); });
  b.tolerance(deviation, {.relative = 1e-7 + 1e-12 / (spread * spread)});
  b.emit(ColumnDeviation{.u = u, .deviation = deviation});
  return b.build();
}

struct ClassifierCase {
  std::string name;
  std::int64_t rows, classes;
  bool training;
  std::int64_t views = 1;  ///< of a label
  float temperature = 0;   ///< of distillation; 0: there is no teacher
  float label_weight = 1;
};
OpCase classify(const ClassifierCase& c) {
  CaseBuilder b(DType::f32);
  const TensorId logits = b.tensor("logits", {c.rows, c.classes}, DType::f32);
  const TensorId labels = b.tensor("labels", {c.rows / c.views}, DType::i32, Storage::input);
  const bool distills = c.temperature > 0;
  const TensorId sums = b.tensor("sums", {distills ? 5 : 4}, DType::f64, Storage::output);
  const Fill values = c.name.ends_with("ties") ? whole_numbers(0, 1)
                      : distills               ? uniform(-10 * c.temperature, 10 * c.temperature)
                                               : uniform(-30, 30);
  b.fill(logits, values);
  std::optional<TensorId> teacher;
  if (distills) {
    teacher = b.tensor("teacher", {c.rows, c.classes}, DType::f32);
    b.fill(*teacher, values);
  }
  b.fill(labels, whole_numbers(-1, static_cast<int>(c.classes) - 1));
  std::optional<TensorId> dlogits;
  if (c.training) dlogits = b.tensor("dlogits", {c.rows, c.classes}, DType::f32);
  b.emit(SoftmaxCrossEntropy{.logits = logits,
                             .labels = labels,
                             .sums = sums,
                             .dlogits = dlogits,
                             .gradient_scale = 0.125F,
                             .teacher = teacher,
                             .temperature = distills ? c.temperature : 1,
                             .label_weight = c.label_weight});
  return b.build();
}

GradientCase loss_gradient(const std::string& name, const ContrastiveLoss& loss) {
  CaseBuilder b(DType::f64);
  const Shape shape{6, 4};
  const TensorId z = b.activation("z", shape);
  const TensorId u = b.activation("u", shape);
  const TensorId inverse_norm = b.activation("inverse_norm", {shape[0]});
  const TensorId statistic = b.activation("statistic", {shape[0]});
  const TensorId second = b.activation("second", {shape[0]});
  const TensorId sums = b.activation("sums", {loss.sum_count()});
  const TensorId du = b.activation("du", shape);
  const TensorId dz = b.activation("dz", shape);
  std::optional<TensorId> labels;
  if (loss.kind == LossKind::supcon) {
    labels = b.tensor("labels", {shape[0] / 2}, DType::i32, Storage::input);
    b.fill(*labels, [](std::int64_t i, double) { return i < 2 ? 7.0 : -1.0; });
  }
  b.emit(L2Normalize{.z = z, .u = u, .inverse_norm = inverse_norm});
  b.emit(ContrastiveForward{.u = u,
                            .u_all = u,
                            .labels_all = labels,
                            .statistic = statistic,
                            .second = second,
                            .sums = sums,
                            .loss = loss});
  b.emit(ContrastiveBackward{.u = u,
                             .u_all = u,
                             .labels_all = labels,
                             .statistic_all = statistic,
                             .second_all = second,
                             .du = du,
                             .loss = loss});
  b.emit(L2NormalizeBackward{.u = u, .inverse_norm = inverse_norm, .du = du, .dz = dz});
  const OpCase built = b.build();
  Program program = built.program;
  program.backward_begin = 2;
  return {.name = name,
          .program = std::move(program),
          .fills = built.fills,
          .gradients = {{z, dz}},
          .objective = [=](reference::Memory<GradientCase::Complex>& memory) {
            return memory[sums](0) / static_cast<double>(shape[0]);
          }};
}

/// Cases for the whole family. Gradients are those of the literal formulas.
std::vector<GradientCase> loss_gradients() {
  constexpr float kTemperature = 0.25F;
  const auto of = [](LossKind kind, Negatives negatives, bool semi_hard = false) {
    return ContrastiveLoss{.kind = kind,
                           .temperature = kTemperature,
                           .negatives = negatives,
                           .semi_hard = semi_hard,
                           .margin = kind == LossKind::margin ? 0.9F : 0};
  };
  std::vector<GradientCase> cases{loss_gradient("nt_xent", of(LossKind::nt_xent, Negatives::both)),
                                  loss_gradient("supcon", of(LossKind::supcon, Negatives::both))};
  for (const auto& [kind, name] :
       {std::pair{LossKind::nt_xent, "nt_xent"}, std::pair{LossKind::dcl, "dcl"},
        std::pair{LossKind::nt_logistic, "nt_logistic"}, std::pair{LossKind::margin, "margin"}}) {
    cases.push_back(loss_gradient(fmt::format("{}_one", name), of(kind, Negatives::one)));
    if (kind == LossKind::nt_xent) continue;
    cases.push_back(loss_gradient(name, of(kind, Negatives::both)));
    if (kind == LossKind::dcl) continue;
    cases.push_back(
        loss_gradient(fmt::format("{}_semi_hard", name), of(kind, Negatives::both, true)));
  }
  return cases;
}

GradientCase classifier_gradient(const ClassifierCase& classifier) {
  const OpCase c = classify(classifier);
  const auto op = std::get<SoftmaxCrossEntropy>(c.op());
  auto fills = c.fills;
  fills[op.logits] = uniform(-2, 2);
  return {.name = classifier.name,
          .program = c.program,
          .fills = fills,
          .gradients = {{op.logits, *op.dlogits}},
          .objective = [=](reference::Memory<GradientCase::Complex>& memory) {
            return memory[op.sums](0) * static_cast<double>(op.gradient_scale);
          }};
}

}  // namespace

std::vector<CaseEntry> loss_cases() {
  std::vector<CaseEntry> entries;
  for (const LossCase& loss : losses()) {
    const std::string name = fmt::format("{}views_rank{}of{}_{}permille", loss.views, loss.rank,
                                         loss.ranks, std::lround(1000 * loss.temperature));
    entries.push_back({.name = "nt_xent_forward_" + name,
                       .make = [=](DType similarity) { return forward(loss, similarity); },
                       .mixed_precision = true});
    if (loss.views * loss.ranks == 2) continue;  // one pair alone: the gradient is zero
    entries.push_back({.name = "nt_xent_backward_" + name,
                       .make = [=](DType similarity) { return backward(loss, similarity); },
                       .mixed_precision = true});
  }
  entries.push_back({.name = "l2_normalize", .make = [](DType) { return normalize(false); }});
  entries.push_back({.name = "l2_normalize_zero", .make = [](DType) { return normalize_zero(); }});
  entries.push_back(
      {.name = "l2_normalize_backward", .make = [](DType) { return normalize(true); }});
  entries.push_back(
      {.name = "column_deviation_pair", .make = [](DType) { return deviation(2, 1, 1); }});
  entries.push_back(
      {.name = "column_deviation_wide", .make = [](DType) { return deviation(67, 130, 2); }});
  entries.push_back(
      {.name = "column_deviation_long", .make = [](DType) { return deviation(1037, 24, 1); }});
  entries.push_back(
      {.name = "column_deviation_close", .make = [](DType) { return deviation(90, 33, 1e-3); }});
  for (const ClassifierCase& c :
       std::vector<ClassifierCase>{{"training", 23, 10, true},
                                   {"many_classes", 5, 1003, true},
                                   {"two_classes", 12, 2, true},
                                   {"two_views", 22, 10, true, 2},
                                   {"evaluation", 17, 37, false},
                                   {"ties", 40, 9, false},
                                   {"distill", 23, 10, true, 1, 2, 0},
                                   {"distill_and_labels", 22, 37, true, 2, 0.5F, 0.25F},
                                   {"distill_sharply", 9, 1003, true, 1, 0.1F, 0.5F},
                                   {"distill_evaluation", 17, 300, false, 1, 1, 0},
                                   {"distill_ties", 40, 9, true, 1, 1, 0.75F}}) {
    entries.push_back(
        {.name = "softmax_cross_entropy_" + c.name, .make = [=](DType) { return classify(c); }});
  }
  return entries;
}

std::vector<GradientCase> loss_gradient_cases() {
  std::vector<GradientCase> cases = loss_gradients();
  cases.push_back(classifier_gradient({"softmax_cross_entropy", 7, 6, true}));
  cases.push_back(classifier_gradient({"distillation", 7, 6, true, 1, 0.5F, 0}));
  cases.push_back(classifier_gradient({"distillation_and_labels", 7, 6, true, 1, 2, 0.25F}));
  return cases;
}

}  // namespace simclr::testing
