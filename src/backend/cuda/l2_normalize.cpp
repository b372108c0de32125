// Unit vectors and the gradient through them.

#include "kernels/l2_normalize.hpp"

#include "steps.hpp"

namespace simclr::cuda {

Prepared prepare(const L2Normalize& op, const Context& context) {
  const TensorView z = context.tensor(op.z);
  return make_step(
      [z_data = z.as<float>(), u = context.tensor(op.u).as<float>(),
       inverse_norm = context.tensor(op.inverse_norm).as<float>(), rows = z.layout.rows(),
       stride = static_cast<int>(z.layout.stride),
       stream = context.stream()] { l2_normalize(z_data, rows, stride, u, inverse_norm, stream); });
}

Prepared prepare(const L2NormalizeBackward& op, const Context& context) {
  const TensorView u = context.tensor(op.u);
  return make_step([u_data = u.as<float>(),
                    inverse_norm = context.tensor(op.inverse_norm).as<float>(),
                    du = context.tensor(op.du).as<float>(), dz = context.tensor(op.dz).as<float>(),
                    rows = u.layout.rows(), stride = static_cast<int>(u.layout.stride),
                    stream = context.stream()] {
    l2_normalize_backward(u_data, inverse_norm, du, rows, stride, dz, stream);
  });
}

}  // namespace simclr::cuda
