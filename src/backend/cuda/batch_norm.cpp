// Batch normalization: statistics, finalization, application; local sums and gradient of the input.

#include "kernels/batch_norm.hpp"
#include "layout.hpp"
#include "row_tiles.hpp"
#include "steps.hpp"

namespace simclr::cuda {

Prepared prepare(const BnStatistics& op, const Context& context) {
  const TensorView y = context.tensor(op.y);
  const auto* shift = context.tensor(op.running_mean).as<float>();
  if (const auto offset = sums_taken_along(op, context)) {
    BnPlainSums plain{.channels = static_cast<int>(y.layout.channels),
                      .stride = static_cast<int>(y.layout.stride),
                      .rows = static_cast<double>(y.layout.rows())};
    constexpr std::size_t kNone = 0;  // the convolution asks for it
    return make_step(kNone, [=, stats = context.tensor(op.stats).as<double>(),
                             stream = context.stream()](Workspace workspace) mutable {
      plain.sums = reinterpret_cast<const float*>(workspace.data() + *offset);
      bn_shift_sums(plain, shift, stats, stream);
    });
  }
  const RowTiles tiles = tiles_for_sums(y.layout, op.groups);
  const BnTotals totals{.sums = context.tensor(op.stats).as<double>()};
  return with_activation_type(y.layout.dtype, [&]<class T>(T) {
    return make_step(bn_partial_bytes(tiles),
                     [=, y = y.as<T>(), stream = context.stream()](Workspace workspace) {
                       auto* partials = reinterpret_cast<double*>(workspace.data());
                       bn_statistics<T>(tiles, y, shift, partials, stream);
                       bn_add_partials(tiles, partials, totals, stream);
                     });
  });
}

Prepared prepare(const BnFinalize& op, const Context& context) {
  const BnFinalizeOperands operands{.channels = static_cast<int>(context.layout(op.gamma).channels),
                                    .groups = op.groups,
                                    .count = op.count,
                                    .epsilon = op.epsilon,
                                    .momentum = op.momentum,
                                    .stats = context.tensor(op.stats).as<double>(),
                                    .gamma = context.tensor(op.gamma).as<float>(),
                                    .beta = context.values<float>(op.beta),
                                    .running_mean = context.tensor(op.running_mean).as<float>(),
                                    .running_var = context.tensor(op.running_var).as<float>(),
                                    .affine = context.tensor(op.affine).as<float>(),
                                    .saved = context.tensor(op.saved).as<float>()};
  return make_step([=, stream = context.stream()] { bn_finalize(operands, stream); });
}

Prepared prepare(const BnInference& op, const Context& context) {
  const BnInferenceOperands operands{
      .channels = static_cast<int>(context.layout(op.gamma).channels),
      .epsilon = op.epsilon,
      .gamma = context.tensor(op.gamma).as<float>(),
      .beta = context.values<float>(op.beta),
      .running_mean = context.tensor(op.running_mean).as<float>(),
      .running_var = context.tensor(op.running_var).as<float>(),
      .affine = context.tensor(op.affine).as<float>()};
  return make_step([=, stream = context.stream()] { bn_inference(operands, stream); });
}

Prepared prepare(const BnApply& op, const Context& context) {
  const TensorView y = context.tensor(op.y);
  const RowTiles tiles = tiles_for_elements(y.layout, op.groups);
  const auto* affine = context.tensor(op.affine).as<float>();
  const auto* residual_affine = context.values<float>(op.residual_affine);
  return with_activation_type(y.layout.dtype, [&]<class T>(T) {
    const auto* residual = context.values<T>(op.residual);
    auto* z = context.tensor(op.z).as<T>();
    return make_step([=, y = y.as<T>(), relu = op.relu, stream = context.stream()] {
      bn_apply<T>(tiles, y, affine, residual, residual_affine, relu, z, stream);
    });
  });
}

Prepared prepare(const BnBackwardReduce& op, const Context& context) {
  const TensorView y = context.tensor(op.y);
  const RowTiles tiles = tiles_for_sums(y.layout, op.groups);
  BnReduceOperands operands{.relu = op.relu,
                            .write_back = op.write_back,
                            .affine = context.tensor(op.affine).as<float>(),
                            .saved = context.tensor(op.saved).as<float>()};
  const BnTotals totals{.sums = context.tensor(op.sums).as<double>(),
                        .saved = operands.saved,
                        .dgamma = context.tensor(op.dgamma).as<float>(),
                        .dbeta = context.values<float>(op.dbeta)};
  return with_activation_type(y.layout.dtype, [&]<class T>(T) {
    auto* dz = context.tensor(op.dz).as<T>();
    const auto* dz_other = context.values<T>(op.dz_other);
    const auto* z = context.values<T>(op.z);
    return make_step(bn_partial_bytes(tiles),
                     [=, y = y.as<T>(), stream = context.stream()](Workspace workspace) mutable {
                       operands.partials = reinterpret_cast<double*>(workspace.data());
                       bn_backward_reduce<T>(tiles, dz, dz_other, z, y, operands, stream);
                       bn_add_partials(tiles, operands.partials, totals, stream);
                     });
  });
}

Prepared prepare(const BnBackwardApply& op, const Context& context) {
  const TensorView y = context.tensor(op.y);
  const RowTiles tiles = tiles_for_elements(y.layout, op.groups);
  const BnGradientOperands operands{.relu = op.relu,
                                    .inverse_count = 1 / op.count,
                                    .affine = context.tensor(op.affine).as<float>(),
                                    .saved = context.tensor(op.saved).as<float>(),
                                    .gamma = context.tensor(op.gamma).as<float>(),
                                    .sums = context.tensor(op.sums).as<double>()};
  return with_activation_type(y.layout.dtype, [&]<class T>(T) {
    const auto* dz = context.tensor(op.dz).as<T>();
    auto* dy = context.tensor(op.dy).as<T>();
    return make_step([=, y = y.as<T>(), stream = context.stream()] {
      bn_backward_apply<T>(tiles, dz, y, operands, dy, stream);
    });
  });
}

}  // namespace simclr::cuda
