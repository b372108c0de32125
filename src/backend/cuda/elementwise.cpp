// Joins and rectifiers over whole tensors, and the packing of images.

#include "kernels/elementwise.hpp"

#include "dispatch.hpp"
#include "steps.hpp"

namespace simclr::cuda {

Prepared prepare(const AddInto& op, const Context& context) {
  const TensorView from = context.tensor(op.from);
  const TensorView into = context.tensor(op.into);
  require(from.layout.stride == into.layout.stride, "what is added is stored as what it joins");
  return with_activation_type(into.layout.dtype, [&]<class T>(T) {
    return make_step([from = from.as<T>(), into = into.as<T>(),
                      count = into.layout.stored_elements(),
                      stream = context.stream()] { add_into(from, into, count, stream); });
  });
}

Prepared prepare(const Relu& op, const Context& context) {
  const TensorView y = context.tensor(op.y);
  const TensorView z = context.tensor(op.z);
  require(y.layout.stride == z.layout.stride, "a rectifier's tensors are stored alike");
  return with_activation_type(z.layout.dtype, [&]<class T>(T) {
    return make_step([y = y.as<T>(), z = z.as<T>(), count = z.layout.stored_elements(),
                      stream = context.stream()] { relu(y, z, count, stream); });
  });
}

Prepared prepare(const ReluBackward& op, const Context& context) {
  const TensorView dz = context.tensor(op.dz);
  const TensorView z = context.tensor(op.z);
  const TensorView dy = context.tensor(op.dy);
  require(dz.layout.stride == dy.layout.stride && z.layout.stride == dy.layout.stride,
          "a rectifier's tensors are stored alike");
  return with_activation_type(dy.layout.dtype, [&]<class T>(T) {
    return make_step([dz = dz.as<T>(), z = z.as<T>(), dy = dy.as<T>(),
                      count = dy.layout.stored_elements(),
                      stream = context.stream()] { relu_backward(dz, z, dy, count, stream); });
  });
}

Prepared prepare(const PackInput& op, const Context& context) {
  const TensorView views = context.tensor(op.views);
  const TensorView x = context.tensor(op.x);
  require(!views.layout.padded() && views.layout.channels == 3 &&
              x.layout.stride == kImageChannelsStored,
          "images come with three channels and are packed to four");
  return with_activation_type(x.layout.dtype, [&]<class T>(T) {
    return make_step([views = views.as<T>(), x = x.as<T>(), pixels = x.layout.rows(),
                      stream = context.stream()] { pack_images(views, x, pixels, stream); });
  });
}

}  // namespace simclr::cuda
