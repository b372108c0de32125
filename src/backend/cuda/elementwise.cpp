// Joins and rectifiers over whole tensors, the packing of images, pooling.

#include "kernels/elementwise.hpp"
#include "layout.hpp"
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

namespace {

PoolShape shape_of(const ConvGeometry& window, const Layout& input, const Layout& output) {
  require(window.kernel * window.kernel <= 256, "the position in a window fits a byte");
  require(window.padding < window.kernel, "every pooling window covers a pixel");
  require(input.stride == output.stride, "pooled tensors are stored with the same channels");
  return {.images = input.images,
          .height = static_cast<int>(input.height),
          .width = static_cast<int>(input.width),
          .out_height = static_cast<int>(output.height),
          .out_width = static_cast<int>(output.width),
          .channels = static_cast<int>(input.stride),
          .kernel = window.kernel,
          .stride = window.stride,
          .padding = window.padding};
}

}  // namespace

Prepared prepare(const MaxPool& op, const Context& context) {
  const TensorView x = context.tensor(op.x);
  const TensorView y = context.tensor(op.y);
  const TensorView argmax = context.tensor(op.argmax);
  require(argmax.layout.stride == y.layout.stride, "positions are stored as maxima are");
  return with_activation_type(x.layout.dtype, [&]<class T>(T) {
    return make_step(
        [x_data = x.as<T>(), y_data = y.as<T>(), positions = argmax.as<std::uint8_t>(),
         shape = shape_of(op.geometry, x.layout, y.layout),
         stream = context.stream()] { max_pool(shape, x_data, y_data, positions, stream); });
  });
}

Prepared prepare(const MaxPoolBackward& op, const Context& context) {
  const TensorView dx = context.tensor(op.dx);
  const TensorView dy = context.tensor(op.dy);
  const TensorView argmax = context.tensor(op.argmax);
  require(argmax.layout.stride == dy.layout.stride, "positions are stored as maxima are");
  return with_activation_type(dx.layout.dtype, [&]<class T>(T) {
    return make_step(
        [dy_data = dy.as<T>(), dx_data = dx.as<T>(), positions = argmax.as<std::uint8_t>(),
         shape = shape_of(op.geometry, dx.layout, dy.layout), stream = context.stream()] {
          max_pool_backward(shape, dy_data, positions, dx_data, stream);
        });
  });
}

Prepared prepare(const GlobalAvgPool& op, const Context& context) {
  const TensorView z = context.tensor(op.z);
  const TensorView h = context.tensor(op.h);
  require(z.layout.stride == h.layout.stride, "means are stored with their tensor's channels");
  return with_activation_type(z.layout.dtype, [&]<class T>(T) {
    return make_step(
        [z = z.as<T>(), h = h.as<float>(), layout = z.layout, stream = context.stream()] {
          global_average(z, h, layout.images, layout.height * layout.width, layout.stride, stream);
        });
  });
}

Prepared prepare(const GlobalAvgPoolBackward& op, const Context& context) {
  const TensorView dz = context.tensor(op.dz);
  const TensorView dh = context.tensor(op.dh);
  require(dz.layout.stride == dh.layout.stride, "means are stored with their tensor's channels");
  return with_activation_type(dz.layout.dtype, [&]<class T>(T) {
    return make_step(
        [dh = dh.as<float>(), dz = dz.as<T>(), layout = dz.layout, stream = context.stream()] {
          global_average_backward(dh, dz, layout.images, layout.height * layout.width,
                                  layout.stride, stream);
        });
  });
}

}  // namespace simclr::cuda
