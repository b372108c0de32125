// Batch normalisation, backward: local sums, then the gradient of the input.

#include "dispatch.hpp"
#include "kernels/batch_norm.hpp"
#include "row_tiles.hpp"
#include "steps.hpp"

namespace simclr::cuda {

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
