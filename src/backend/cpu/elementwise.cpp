// Joins and rectifiers over whole tensors, the packing of images, and pooling.

#include <algorithm>

#include "kernels/table.hpp"
#include "steps.hpp"

namespace simclr::cpu {
namespace {

/// visit(begin, count) over [0, elements) in pieces of 4096; elements is a multiple of 16.
template <class Visit>
void for_each_piece(std::int64_t elements, int threads, Visit&& visit) {
  constexpr std::int64_t kPiece = 4096;
  for_each_index((elements + kPiece - 1) / kPiece, threads, [&](std::int64_t i) {
    const std::int64_t begin = i * kPiece;
    visit(begin, std::min(kPiece, elements - begin));
  });
}

kernels::PoolGeometry geometry_of(const ConvGeometry& window, const Layout& input,
                                  const Layout& output) {
  require(window.kernel * window.kernel <= 256, "the position in a window fits a byte");
  require(window.padding < window.kernel, "every pooling window covers a pixel");
  return {.height = static_cast<int>(input.height),
          .width = static_cast<int>(input.width),
          .out_height = static_cast<int>(output.height),
          .out_width = static_cast<int>(output.width),
          .kernel = window.kernel,
          .stride = window.stride,
          .padding = window.padding};
}

}  // namespace

Prepared prepare(const AddInto& op, const Context& context) {
  const TensorView into = context.tensor(op.into);
  require_blocked(into);
  return for_activation_type(into.layout.dtype, [&]<class T>(T) {
    return make_step([from = context.tensor(op.from).as<T>(), to = into.as<T>(),
                      elements = into.layout.stored_elements(), threads = context.threads] {
      for_each_piece(elements, threads, [&](std::int64_t begin, std::int64_t count) {
        kernels::element<T>().add_into(from + begin, to + begin, count);
      });
    });
  });
}

Prepared prepare(const Relu& op, const Context& context) {
  const TensorView z = context.tensor(op.z);
  require_blocked(z);
  return for_activation_type(z.layout.dtype, [&]<class T>(T) {
    return make_step([from = context.tensor(op.y).as<T>(), to = z.as<T>(),
                      elements = z.layout.stored_elements(), threads = context.threads] {
      for_each_piece(elements, threads, [&](std::int64_t begin, std::int64_t count) {
        kernels::element<T>().relu(from + begin, to + begin, count);
      });
    });
  });
}

Prepared prepare(const ReluBackward& op, const Context& context) {
  const TensorView dy = context.tensor(op.dy);
  require_blocked(dy);
  return for_activation_type(dy.layout.dtype, [&]<class T>(T) {
    return make_step([dz = context.tensor(op.dz).as<T>(), z = context.tensor(op.z).as<T>(),
                      to = dy.as<T>(), elements = dy.layout.stored_elements(),
                      threads = context.threads] {
      for_each_piece(elements, threads, [&](std::int64_t begin, std::int64_t count) {
        kernels::element<T>().relu_backward(dz + begin, z + begin, to + begin, count);
      });
    });
  });
}

Prepared prepare(const PackInput& op, const Context& context) {
  const TensorView views = context.tensor(op.views);
  const TensorView x = context.tensor(op.x);
  require(views.layout.kind == Layout::Kind::canonical && x.layout.kind == Layout::Kind::planar &&
              x.layout.channels == 3,
          "images have three channels and come as the host has them");
  return for_activation_type(x.layout.dtype, [&]<class T>(T) {
    return make_step(
        [from = views.as<T>(), to = x.as<T>(), layout = x.layout, threads = context.threads] {
          for_each_index(layout.images, threads, [&](std::int64_t i) {
            const std::int64_t begin = i * layout.pixels() * 3;
            kernels::element<T>().unzip_rgb(from + begin, layout.pixels(), to + begin);
          });
        });
  });
}

Prepared prepare(const MaxPool& op, const Context& context) {
  const TensorView x = context.tensor(op.x);
  const TensorView y = context.tensor(op.y);
  require_blocked(x);
  auto* argmax = context.tensor(op.argmax).as<std::uint8_t>();
  return for_activation_type(x.layout.dtype, [&]<class T>(T) {
    return make_step([=, geometry = geometry_of(op.geometry, x.layout, y.layout),
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
    return make_step([=, geometry = geometry_of(op.geometry, dx.layout, dy.layout),
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
