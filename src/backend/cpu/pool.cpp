// Maximum and global average pooling.

#include "tiles.hpp"

namespace simclr::cpu {

Prepared prepare(const MaxPool& op, const Context& context) {
  const TensorView x = context.tensor(op.x);
  const TensorView y = context.tensor(op.y);
  require_blocked(x);
  auto* argmax = context.tensor(op.argmax).as<std::uint8_t>();
  return for_activation_type(x.layout.dtype, [&]<class T>(T) {
    return make_step([=,
                      geometry = pool_shape<kernels::PoolGeometry>(op.geometry, x.layout, y.layout),
                      x_data = x.as<T>(), y_data = y.as<T>(), threads = context.threads] {
      const std::int64_t in = x.layout.pixels() * kBlock;
      const std::int64_t out = y.layout.pixels() * kBlock;
      for_each_index(x.layout.images * x.layout.blocks(), threads, [&](std::int64_t i) {
        kernels::element<T>().max_pool(geometry, x_data + i * in, y_data + i * out,
                                       argmax + i * out);
      });
    });
  });
}

Prepared prepare(const MaxPoolBackward& op, const Context& context) {
  const TensorView dx = context.tensor(op.dx);
  const TensorView dy = context.tensor(op.dy);
  require_blocked(dx);
  const auto* argmax = context.tensor(op.argmax).as<std::uint8_t>();
  return for_activation_type(dx.layout.dtype, [&]<class T>(T) {
    return make_step(
        [=, geometry = pool_shape<kernels::PoolGeometry>(op.geometry, dx.layout, dy.layout),
         dx_data = dx.as<T>(), dy_data = dy.as<T>(), threads = context.threads] {
          const std::int64_t in = dx.layout.pixels() * kBlock;
          const std::int64_t out = dy.layout.pixels() * kBlock;
          for_each_index(dx.layout.images * dx.layout.blocks(), threads, [&](std::int64_t i) {
            kernels::element<T>().max_pool_backward(geometry, dy_data + i * out, argmax + i * out,
                                                    dx_data + i * in);
          });
        });
  });
}

Prepared prepare(const GlobalAvgPool& op, const Context& context) {
  const TensorView z = context.tensor(op.z);
  require_blocked(z);
  auto* h = context.tensor(op.h).as<float>();
  return for_activation_type(z.layout.dtype, [&]<class T>(T) {
    return make_step([=, data = z.as<T>(), layout = z.layout, threads = context.threads] {
      for_each_index(layout.images * layout.blocks(), threads, [&](std::int64_t i) {
        kernels::element<T>().average(data + i * layout.pixels() * kBlock, layout.pixels(),
                                      h + i * kBlock);
      });
    });
  });
}

Prepared prepare(const GlobalAvgPoolBackward& op, const Context& context) {
  const TensorView dz = context.tensor(op.dz);
  require_blocked(dz);
  const auto* dh = context.tensor(op.dh).as<float>();
  return for_activation_type(dz.layout.dtype, [&]<class T>(T) {
    return make_step([=, data = dz.as<T>(), layout = dz.layout, threads = context.threads] {
      for_each_index(layout.images * layout.blocks(), threads, [&](std::int64_t i) {
        kernels::element<T>().spread(dh + i * kBlock, layout.pixels(),
                                     data + i * layout.pixels() * kBlock);
      });
    });
  });
}

}  // namespace simclr::cpu
