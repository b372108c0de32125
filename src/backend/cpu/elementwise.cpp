// Joins and rectifiers over whole tensors, and the packing of images.

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

}  // namespace simclr::cpu
