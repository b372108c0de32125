#include "backend/op_cases.hpp"

namespace simclr::testing {

namespace {

/// What one case normalizes, and which variant of the ops does it.
struct BnCase {
  std::string name;
  Shape shape;
  BnGroups groups;
  bool with_beta = true;
  bool residual = false;
  bool residual_affine = false;
  bool relu = true;
  bool second_contribution = false;

  [[nodiscard]] std::int64_t channels() const { return shape[-1]; }
  [[nodiscard]] double count() const {
    const std::int64_t elements = shape.elements() / channels() / groups.groups;
    return static_cast<double>(elements);
  }
};

const std::vector<BnCase>& variants() {
  static const std::vector<BnCase> all{
      {.name = "plain", .shape = {4, 5, 3, 32}, .groups = {1, 2}, .relu = false},
      {.name = "relu", .shape = {4, 5, 3, 32}, .groups = {1, 2}},
      {.name = "relu_odd_channels", .shape = {2, 7, 3, 21}, .groups = {1, 1}},
      {.name = "many_pixels", .shape = {2, 19, 23, 17}, .groups = {1, 1}},
      {.name = "vectors", .shape = {6, 40}, .groups = {1, 3}},
      {.name = "vectors_no_beta", .shape = {6, 24}, .groups = {1, 3}, .with_beta = false},
      {.name = "three_groups", .shape = {12, 3, 4, 20}, .groups = {3, 6}},
      {.name = "vectors_in_groups", .shape = {8, 33}, .groups = {2, 4}, .relu = false},
      {.name = "residual", .shape = {4, 5, 3, 32}, .groups = {1, 2}, .residual = true},
      {.name = "residual_without_relu",
       .shape = {4, 5, 3, 18},
       .groups = {2, 2},
       .residual = true,
       .relu = false},
      {.name = "residual_affine",
       .shape = {4, 4, 3, 19},
       .groups = {2, 2},
       .residual = true,
       .residual_affine = true},
      {.name = "two_contributions",
       .shape = {4, 5, 3, 21},
       .groups = {1, 2},
       .second_contribution = true},
      {.name = "residual_two_contributions",
       .shape = {4, 3, 3, 35},
       .groups = {2, 2},
       .residual = true,
       .second_contribution = true},
      // More channels and more rows than one block of threads takes.
      {.name = "wide", .shape = {8, 3, 3, 280}, .groups = {2, 4}},
      {.name = "wide_and_long",
       .shape = {8, 11, 13, 72},
       .groups = {2, 4},
       .residual = true,
       .second_contribution = true},
  };
  return all;
}

/// The tensors of a BN layer, and its ops.
class BnLayer {
 public:
  BnLayer(const BnCase& shape, CaseBuilder& builder) : case_(shape), builder_(builder) {
    const std::int64_t c = shape.channels();
    const std::int64_t g = shape.groups.groups;
    // Far from zero mean: the shifted sums must not lose the variance.
    y = builder.activation("y", shape.shape);
    builder.fill(y, uniform(2, 4));
    running_mean = builder.tensor("running_mean", {c}, DType::f32, Storage::running);
    running_var = builder.tensor("running_var", {c}, DType::f32, Storage::running);
    builder.fill(running_mean, uniform(1, 4)).fill(running_var, uniform(0.5, 2));
    stats = builder.tensor("stats", {g, 2, c}, DType::f64);
    gamma = builder.parameter("gamma", {c});
    if (shape.with_beta) beta = builder.parameter("beta", {c});
    affine = builder.tensor("affine", {g, 2, c}, DType::f32);
    saved = builder.tensor("saved", {g, 2, c}, DType::f32);
    if (shape.residual) residual = builder.activation("residual", shape.shape);
    if (shape.residual_affine) {
      residual_affine = builder.tensor("residual_affine", {g, 2, c}, DType::f32);
    }
    z = builder.activation("z", shape.shape);
    dz = builder.activation("dz", shape.shape);
    if (shape.second_contribution) dz_other = builder.activation("dz_other", shape.shape);
    sums = builder.tensor("sums", {g, 2, c}, DType::f64);
    dgamma = builder.gradient("dgamma", {c});
    if (shape.with_beta) dbeta = builder.gradient("dbeta", {c});
    dy = builder.activation("dy", shape.shape);
  }

  BnLayer& statistics() {
    builder_.emit(
        BnStatistics{.y = y, .running_mean = running_mean, .stats = stats, .groups = case_.groups});
    return *this;
  }
  BnLayer& finalize() {
    builder_.emit(BnFinalize{.stats = stats,
                             .gamma = gamma,
                             .beta = beta,
                             .running_mean = running_mean,
                             .running_var = running_var,
                             .affine = affine,
                             .saved = saved,
                             .groups = case_.groups.groups,
                             .count = case_.count()});
    return *this;
  }
  BnLayer& apply() {
    builder_.emit(BnApply{.y = y,
                          .affine = affine,
                          .residual = residual,
                          .residual_affine = residual_affine,
                          .relu = case_.relu,
                          .z = z,
                          .groups = case_.groups});
    return *this;
  }
  BnLayer& backward_reduce() {
    builder_.emit(BnBackwardReduce{.dz = dz,
                                   .dz_other = dz_other,
                                   .z = residual ? std::optional(z) : std::nullopt,
                                   .y = y,
                                   .affine = affine,
                                   .saved = saved,
                                   .sums = sums,
                                   .dgamma = dgamma,
                                   .dbeta = dbeta,
                                   .relu = case_.relu,
                                   .write_back = written_back(),
                                   .groups = case_.groups});
    return *this;
  }
  BnLayer& backward_apply() {
    builder_.emit(BnBackwardApply{.dz = dz,
                                  .y = y,
                                  .affine = affine,
                                  .saved = saved,
                                  .gamma = gamma,
                                  .sums = sums,
                                  .dy = dy,
                                  .relu = case_.relu && !written_back(),
                                  .count = case_.count(),
                                  .groups = case_.groups});
    return *this;
  }

  TensorId y, running_mean, running_var, stats, gamma, affine, saved, z, dz, sums, dgamma, dy;
  std::optional<TensorId> beta, residual, residual_affine, dz_other, dbeta;

 private:
  [[nodiscard]] bool written_back() const { return case_.residual || case_.second_contribution; }

  const BnCase& case_;
  CaseBuilder& builder_;
};

using Record = void (*)(BnLayer&);

CaseEntry entry(const std::string& op, const BnCase& variant, Record record, bool mixed_precision) {
  return {.name = op + "_" + variant.name,
          .make =
              [=](DType activation) {
                CaseBuilder builder(activation);
                BnLayer layer(variant, builder);
                record(layer);
                return builder.build();
              },
          .mixed_precision = mixed_precision};
}

OpCase inference(bool with_beta) {
  CaseBuilder builder(DType::f32);
  BnLayer layer({.name = "", .shape = {2, 37}, .groups = {1, 1}, .with_beta = with_beta}, builder);
  builder.emit(BnInference{.gamma = layer.gamma,
                           .beta = layer.beta,
                           .running_mean = layer.running_mean,
                           .running_var = layer.running_var,
                           .affine = layer.affine});
  return builder.build();
}

GradientCase gradient(const BnCase& variant) {
  CaseBuilder builder(DType::f64);
  BnLayer layer(variant, builder);
  layer.statistics().finalize().apply();
  const std::size_t backward_begin = builder.build().program.ops.size();
  layer.backward_reduce().backward_apply();
  Program program = builder.build().program;
  program.backward_begin = backward_begin;
  std::vector<std::pair<TensorId, TensorId>> gradients{{layer.y, layer.dy},
                                                       {layer.gamma, layer.dgamma}};
  if (layer.beta) gradients.emplace_back(*layer.beta, *layer.dbeta);
  // The residual's gradient is the masked dz that the reduction wrote back.
  if (layer.residual && !layer.residual_affine) gradients.emplace_back(*layer.residual, layer.dz);
  const auto of_first = inner_product(layer.z, layer.dz);
  const auto of_second = inner_product(layer.z, layer.dz_other.value_or(layer.dz));
  const bool both = layer.dz_other.has_value();
  return {.name = "batch_norm_" + variant.name,
          .program = std::move(program),
          .fills = builder.build().fills,
          .gradients = std::move(gradients),
          .objective = [=](reference::Memory<GradientCase::Complex>& memory) {
            return both ? of_first(memory) + of_second(memory) : of_first(memory);
          }};
}

}  // namespace

std::vector<CaseEntry> batch_norm_cases() {
  std::vector<CaseEntry> entries;
  for (const BnCase& v : variants()) {
    entries.push_back(entry(
        "bn_statistics", v, [](BnLayer& l) { l.statistics(); }, true));
    entries.push_back(entry(
        "bn_finalize", v, [](BnLayer& l) { l.statistics().finalize(); }, false));
    entries.push_back(entry(
        "bn_apply", v, [](BnLayer& l) { l.statistics().finalize().apply(); }, true));
    entries.push_back(entry(
        "bn_backward_reduce", v,
        [](BnLayer& l) { l.statistics().finalize().apply().backward_reduce(); }, true));
    entries.push_back(entry(
        "bn_backward_apply", v,
        [](BnLayer& l) { l.statistics().finalize().apply().backward_reduce().backward_apply(); },
        true));
  }
  entries.push_back({.name = "bn_inference", .make = [](DType) { return inference(true); }});
  entries.push_back(
      {.name = "bn_inference_no_beta", .make = [](DType) { return inference(false); }});
  return entries;
}

std::vector<GradientCase> batch_norm_gradient_cases() {
  std::vector<GradientCase> cases;
  for (const BnCase& variant : variants()) {
    if (variant.shape.elements() < 1500) cases.push_back(gradient(variant));
  }
  return cases;
}

}  // namespace simclr::testing
