// Joins and rectifiers over whole tensors, the packing of images, and pooling.

#include <algorithm>

#include "kernels/table.hpp"
#include "steps.hpp"

namespace simclr::cpu {
namespace {

constexpr std::int64_t kPiece = 4096;

/// A step over all stored elements of `result`, a multiple of 16, in pieces: make(T{}) with T the
/// type of the elements gives visit(begin, count).
template <class Make>
Prepared step_by_piece(const TensorView& result, int threads, const Make& make) {
  require_blocked(result);
  return for_activation_type(result.layout.dtype, [&](auto type) {
    return make_step([visit = make(type), elements = result.layout.stored_elements(), threads] {
      for_each_index((elements + kPiece - 1) / kPiece, threads, [&](std::int64_t i) {
        const std::int64_t begin = i * kPiece;
        visit(begin, std::min(kPiece, elements - begin));
      });
    });
  });
}

/// A step over the images and channel blocks of `input`: make(T{}) gives visit(index).
template <class Make>
Prepared step_by_block(const TensorView& input, int threads, const Make& make) {
  require_blocked(input);
  return for_activation_type(input.layout.dtype, [&](auto type) {
    return make_step([visit = make(type), count = input.layout.images * input.layout.blocks(),
                      threads] { for_each_index(count, threads, visit); });
  });
}

/// Elements of one channel block of an image.
std::int64_t block_elements(const TensorView& tensor) { return tensor.layout.pixels() * kBlock; }

}  // namespace

Prepared prepare(const AddInto& op, const Context& context) {
  const TensorView into = context.tensor(op.into);
  return step_by_piece(into, context.threads, [&]<class T>(T) {
    return [from = context.tensor(op.from).as<T>(), to = into.as<T>()](auto begin, auto count) {
      kernels::element<T>().add_into(from + begin, to + begin, count);
    };
  });
}

Prepared prepare(const Relu& op, const Context& context) {
  const TensorView z = context.tensor(op.z);
  return step_by_piece(z, context.threads, [&]<class T>(T) {
    return [from = context.tensor(op.y).as<T>(), to = z.as<T>()](auto begin, auto count) {
      kernels::element<T>().relu(from + begin, to + begin, count);
    };
  });
}

Prepared prepare(const ReluBackward& op, const Context& context) {
  const TensorView dy = context.tensor(op.dy);
  return step_by_piece(dy, context.threads, [&]<class T>(T) {
    return [dz = context.tensor(op.dz).as<T>(), z = context.tensor(op.z).as<T>(), to = dy.as<T>()](
               auto begin, auto count) {
      kernels::element<T>().relu_backward(dz + begin, z + begin, to + begin, count);
    };
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
  auto* argmax = context.tensor(op.argmax).as<std::uint8_t>();
  return step_by_block(x, context.threads, [&]<class T>(T) {
    return [=, geometry = pool_shape<kernels::PoolGeometry>(op.geometry, x.layout, y.layout),
            from = x.as<T>(), to = y.as<T>(), in = block_elements(x),
            out = block_elements(y)](std::int64_t i) {
      kernels::element<T>().max_pool(geometry, from + i * in, to + i * out, argmax + i * out);
    };
  });
}

Prepared prepare(const MaxPoolBackward& op, const Context& context) {
  const TensorView dx = context.tensor(op.dx);
  const TensorView dy = context.tensor(op.dy);
  const auto* argmax = context.tensor(op.argmax).as<std::uint8_t>();
  return step_by_block(dx, context.threads, [&]<class T>(T) {
    return [=, geometry = pool_shape<kernels::PoolGeometry>(op.geometry, dx.layout, dy.layout),
            from = dy.as<T>(), to = dx.as<T>(), in = block_elements(dx),
            out = block_elements(dy)](std::int64_t i) {
      kernels::element<T>().max_pool_backward(geometry, from + i * out, argmax + i * out,
                                              to + i * in);
    };
  });
}

Prepared prepare(const GlobalAvgPool& op, const Context& context) {
  const TensorView z = context.tensor(op.z);
  auto* h = context.tensor(op.h).as<float>();
  return step_by_block(z, context.threads, [&]<class T>(T) {
    return [=, from = z.as<T>(), pixels = z.layout.pixels()](std::int64_t i) {
      kernels::element<T>().average(from + i * pixels * kBlock, pixels, h + i * kBlock);
    };
  });
}

Prepared prepare(const GlobalAvgPoolBackward& op, const Context& context) {
  const TensorView dz = context.tensor(op.dz);
  const auto* dh = context.tensor(op.dh).as<float>();
  return step_by_block(dz, context.threads, [&]<class T>(T) {
    return [=, to = dz.as<T>(), pixels = dz.layout.pixels()](std::int64_t i) {
      kernels::element<T>().spread(dh + i * kBlock, pixels, to + i * pixels * kBlock);
    };
  });
}

}  // namespace simclr::cpu
