#include "layers.hpp"

#include "simclr/core/check.hpp"

namespace simclr::nn {
namespace {

std::int64_t pixels(const Shape& shape) { return shape.rank() == 4 ? shape[1] * shape[2] : 1; }

struct BackwardOptions {
  bool relu = false;
  std::optional<TensorId> mask_from;  ///< the joined output, if y does not give ReLU's mask
  bool write_back = false;
};

/// Emits the ops from the gradient of BN's output to the gradient of its input y; they may mask dz
/// in place.
void normalized_backward(Recorder& recorder, const Normalized& layer, TensorId dz,
                         std::optional<TensorId> dz_other, const BackwardOptions& options) {
  const std::int64_t channels = recorder.info(layer.y).shape[-1];
  const TensorId sums = recorder.tensor("d.sums", {layer.groups.groups, 2, channels}, DType::f64);
  recorder.emit(BnBackwardReduce{
      .dz = dz,
      .dz_other = dz_other,
      .z = options.mask_from,
      .y = layer.y,
      .affine = layer.affine,
      .saved = layer.saved,
      .sums = sums,
      .dgamma = recorder.parameter_gradient(layer.gamma),
      .dbeta = layer.beta ? std::optional(recorder.parameter_gradient(*layer.beta)) : std::nullopt,
      .relu = options.relu,
      .write_back = options.write_back,
      .groups = layer.groups});
  if (layer.synchronized) recorder.emit(AllReduce{sums, RankGroup::bn_group, Reduction::sum});
  recorder.emit(BnBackwardApply{.dz = dz,
                                .y = layer.y,
                                .affine = layer.affine,
                                .saved = layer.saved,
                                .gamma = layer.gamma,
                                .sums = sums,
                                .dy = recorder.contribute(layer.y),
                                // A dz that was written back is masked already.
                                .relu = options.relu && !options.write_back,
                                .count = layer.count,
                                .groups = layer.groups});
}

/// Returns the first two contributions to the gradient of z, having added any others into the
/// second.
std::pair<TensorId, std::optional<TensorId>> two_contributions(Recorder& recorder, TensorId z) {
  const std::vector<TensorId> parts = recorder.contributions(z);
  for (std::size_t i = 2; i < parts.size(); ++i) recorder.emit(AddInto{parts[i], parts[1]});
  return {parts[0], parts.size() > 1 ? std::optional(parts[1]) : std::nullopt};
}

/// Records z = [relu](BN(y) [+ residual]) and its backward pass. The residual is the y of a
/// shortcut that is normalized as well, or is added as it is.
TensorId normalize(Recorder& recorder, const Normalized& layer, bool relu,
                   std::optional<TensorId> residual = {},
                   const std::optional<Normalized>& shortcut = {}) {
  const TensorInfo y = recorder.info(layer.y);
  const TensorId z = recorder.tensor(recorder.scope() + ".z", y.shape, y.dtype);
  recorder.emit(
      BnApply{.y = layer.y,
              .affine = layer.affine,
              .residual = residual,
              .residual_affine = shortcut ? std::optional(shortcut->affine) : std::nullopt,
              .relu = relu,
              .z = z,
              .groups = layer.groups});
  recorder.on_backward([=](Recorder& r) {
    const auto [dz, other] = two_contributions(r, z);
    normalized_backward(r, layer, dz, other,
                        {.relu = relu,
                         .mask_from = residual ? std::optional(z) : std::nullopt,
                         .write_back = residual || other});
    if (shortcut) {
      normalized_backward(r, *shortcut, dz, std::nullopt, {});
    } else if (residual) {
      r.contribute(*residual, dz);  // the identity passes the masked gradient on, without a copy
    }
  });
  return z;
}

}  // namespace

Normalized batch_norm(Recorder& recorder, const BatchNormContext& context, const std::string& name,
                      TensorId y, const BatchNormOptions& options) {
  const Shape shape = recorder.info(y).shape;
  const std::int64_t channels = shape[-1];
  const auto initial = [](float value) {
    return InitialValue{InitialValue::Kind::constant, value};
  };
  Normalized layer;
  layer.y = y;
  layer.gamma =
      recorder.parameter(name + ".weight", {channels}, initial(options.initial_gamma), false);
  if (options.with_beta) {
    layer.beta = recorder.parameter(name + ".bias", {channels}, initial(0), false);
  }
  const TensorId running_mean = recorder.running(name + ".running_mean", channels, 0);
  const TensorId running_var = recorder.running(name + ".running_var", channels, 1);
  const float epsilon = context.spec.epsilon;

  if (!context.training) {
    layer.affine = recorder.tensor(name + ".affine", {1, 2, channels}, DType::f32);
    recorder.emit(
        BnInference{layer.gamma, layer.beta, running_mean, running_var, layer.affine, epsilon});
    layer.groups = {1, static_cast<int>(shape[0])};
    return layer;
  }

  const int groups = context.spec.groups_per_rank;
  layer.groups = {groups, static_cast<int>(context.local_samples)};
  layer.count =
      static_cast<double>(shape[0] * pixels(shape)) / groups * context.spec.ranks_per_group;
  layer.synchronized = context.spec.ranks_per_group > 1;
  const TensorId stats = recorder.tensor(name + ".stats", {groups, 2, channels}, DType::f64);
  layer.affine = recorder.tensor(name + ".affine", {groups, 2, channels}, DType::f32);
  layer.saved = recorder.tensor(name + ".saved", {groups, 2, channels}, DType::f32);
  recorder.emit(BnStatistics{y, running_mean, stats, layer.groups});
  if (layer.synchronized) recorder.emit(AllReduce{stats, RankGroup::bn_group, Reduction::sum});
  recorder.emit(BnFinalize{.stats = stats,
                           .gamma = layer.gamma,
                           .beta = layer.beta,
                           .running_mean = running_mean,
                           .running_var = running_var,
                           .affine = layer.affine,
                           .saved = layer.saved,
                           .groups = groups,
                           .count = layer.count,
                           .epsilon = epsilon,
                           .momentum = context.spec.momentum});
  return layer;
}

TensorId apply(Recorder& recorder, const Normalized& layer) {
  return normalize(recorder, layer, false);
}

TensorId apply_relu(Recorder& recorder, const Normalized& layer) {
  return normalize(recorder, layer, true);
}

TensorId join(Recorder& recorder, const Normalized& layer, TensorId x) {
  return normalize(recorder, layer, true, x);
}

TensorId join(Recorder& recorder, const Normalized& layer, const Normalized& shortcut) {
  return normalize(recorder, layer, true, shortcut.y, shortcut);
}

}  // namespace simclr::nn
