// Unit vectors and the gradient through them. Rows are short (128), so plain loops in double do.

#include <algorithm>
#include <cmath>

#include "tiles.hpp"

namespace simclr::cpu {

Prepared prepare(const L2Normalize& op, const Context& context) {
  const TensorView z = context.tensor(op.z);
  require_blocked(z);
  auto* inverse_norm = context.tensor(op.inverse_norm).as<float>();
  return make_step([=, z_data = z.as<float>(), u = context.tensor(op.u).as<float>(),
                    rows = z.layout.images, stride = z.layout.padded_channels(),
                    threads = context.threads] {
    for_each_index(rows, threads, [&](std::int64_t row) {
      const float* from = z_data + row * stride;
      float* to = u + row * stride;
      double square = 0;
      for (std::int64_t d = 0; d < stride; ++d) square += double{from[d]} * double{from[d]};
      const double norm = std::sqrt(square);
      const double inverse = 1 / (norm < 1e-12 ? 1e-12 : norm);  // NaN stays NaN
      for (std::int64_t d = 0; d < stride; ++d) to[d] = static_cast<float>(from[d] * inverse);
      inverse_norm[row] = static_cast<float>(inverse);
    });
  });
}

Prepared prepare(const L2NormalizeBackward& op, const Context& context) {
  const TensorView u = context.tensor(op.u);
  require_blocked(u);
  const auto* inverse_norm = context.tensor(op.inverse_norm).as<float>();
  return make_step([=, u_data = u.as<float>(), du = context.tensor(op.du).as<float>(),
                    dz = context.tensor(op.dz).as<float>(), rows = u.layout.images,
                    stride = u.layout.padded_channels(), threads = context.threads] {
    for_each_index(rows, threads, [&](std::int64_t row) {
      const float* unit = u_data + row * stride;
      const float* gradient = du + row * stride;
      double along = 0;
      for (std::int64_t d = 0; d < stride; ++d) along += double{unit[d]} * double{gradient[d]};
      for (std::int64_t d = 0; d < stride; ++d) {
        dz[row * stride + d] =
            static_cast<float>((gradient[d] - unit[d] * along) * inverse_norm[row]);
      }
    });
  });
}

}  // namespace simclr::cpu
