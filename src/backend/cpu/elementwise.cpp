// Joins and rectifiers over whole tensors, and the packing of images.

#include <algorithm>

#include "tiles.hpp"

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

}  // namespace simclr::cpu
