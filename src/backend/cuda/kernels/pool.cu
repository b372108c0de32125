// Maximum pooling.

#include "pool.cuh"

namespace simclr::cuda {

namespace {

/// Where in its window each element of a pack found its maximum.
template <class T>
struct alignas(kPackSize<T>) Positions {
  std::uint8_t values[kPackSize<T>];
};

/// y = maxima; argmax = r * kernel + s of the first. kKernel: the window's extent where it is known
/// to the compiler, else 0.
template <class T, int kKernel>
__global__ void __launch_bounds__(256)
    max_pool_kernel(PoolShape shape, unsigned items, const T* __restrict__ x, T* __restrict__ y,
                    std::uint8_t* __restrict__ argmax) {
  const unsigned item = blockIdx.x * blockDim.x + threadIdx.x;
  if (item >= items) return;
  const int kernel = kKernel > 0 ? kKernel : shape.kernel;
  const Place at = place_of<T>(item, shape.out_height, shape.out_width, shape.channels);
  const int top = at.row * shape.stride - shape.padding;
  const int left = at.column * shape.stride - shape.padding;
  const T* image = x + at.image * shape.height * shape.width * shape.channels + at.channel;

  float maxima[kPackSize<T>];
  int positions[kPackSize<T>];
#pragma unroll
  for (int i = 0; i < kPackSize<T>; ++i) positions[i] = -1;
#pragma unroll(kKernel > 0 ? kKernel : 1)
  for (int r = 0; r < kernel; ++r) {
#pragma unroll(kKernel > 0 ? kKernel : 1)
    for (int s = 0; s < kernel; ++s) {
      const int row = top + r;
      const int column = left + s;
      if (row < 0 || row >= shape.height || column < 0 || column >= shape.width) continue;
      const std::int64_t pixel = row * shape.width + column;
      const Pack<T> pack = load_pack(image + pixel * shape.channels);
#pragma unroll
      for (int i = 0; i < kPackSize<T>; ++i) {
        const float value = widen(pack.values[i]);
        // A NaN that stands first stays: it must be seen further on.
        if (positions[i] < 0 || value > maxima[i]) {
          maxima[i] = value;
          positions[i] = r * kernel + s;
        }
      }
    }
  }

  Pack<T> result;
  Positions<T> found;
#pragma unroll
  for (int i = 0; i < kPackSize<T>; ++i) {
    result.values[i] = narrow<T>(maxima[i]);
    found.values[i] = static_cast<std::uint8_t>(positions[i]);
  }
  const std::int64_t to = std::int64_t{item} * kPackSize<T>;
  store_pack(y + to, result);
  *reinterpret_cast<Positions<T>*>(argmax + to) = found;
}

/// dx = the sum of dy over the windows whose maximum the pixel is.
template <class T>
__global__ void __launch_bounds__(256)
    max_pool_backward_kernel(PoolShape shape, unsigned items, const T* __restrict__ dy,
                             const std::uint8_t* __restrict__ argmax, T* __restrict__ dx) {
  const unsigned item = blockIdx.x * blockDim.x + threadIdx.x;
  if (item >= items) return;
  const Place at = place_of<T>(item, shape.height, shape.width, shape.channels);
  const int last_row = min((at.row + shape.padding) / shape.stride, shape.out_height - 1);
  const int last_column = min((at.column + shape.padding) / shape.stride, shape.out_width - 1);
  const std::int64_t image =
      at.image * shape.out_height * shape.out_width * shape.channels + at.channel;

  float sums[kPackSize<T>] = {};
  for (int i = first_window(at.row, shape); i <= last_row; ++i) {
    for (int j = first_window(at.column, shape); j <= last_column; ++j) {
      const int r = at.row + shape.padding - i * shape.stride;
      const int s = at.column + shape.padding - j * shape.stride;
      const std::int64_t window = i * shape.out_width + j;
      const std::int64_t from = image + window * shape.channels;
      const Pack<T> gradients = load_pack(dy + from);
      const auto found = *reinterpret_cast<const Positions<T>*>(argmax + from);
#pragma unroll
      for (int e = 0; e < kPackSize<T>; ++e) {
        if (found.values[e] == r * shape.kernel + s) sums[e] += widen(gradients.values[e]);
      }
    }
  }

  Pack<T> result;
#pragma unroll
  for (int e = 0; e < kPackSize<T>; ++e) result.values[e] = narrow<T>(sums[e]);
  store_pack(dx + std::int64_t{item} * kPackSize<T>, result);
}

}  // namespace

Prepared prepare(const MaxPool& op, const Context& context) {
  const TensorView x = context.tensor(op.x);
  const TensorView y = context.tensor(op.y);
  require(context.layout(op.argmax).stride == y.layout.stride,
          "positions are stored as maxima are");
  const PoolShape shape = shape_of(op.geometry, x.layout, y.layout);
  return with_activation_type(x.layout.dtype, [&]<class T>(T) {
    const auto kernel = shape.kernel == 3 ? max_pool_kernel<T, 3> : max_pool_kernel<T, 0>;
    return make_step([=, items = items_of<T>(y.layout), from = x.as<T>(), to = y.as<T>(),
                      argmax = context.values<std::uint8_t>(op.argmax), stream = context.stream()] {
      launch(kernel, one_thread_each(items), stream, shape, items, from, to, argmax);
    });
  });
}

Prepared prepare(const MaxPoolBackward& op, const Context& context) {
  const TensorView dx = context.tensor(op.dx);
  const TensorView dy = context.tensor(op.dy);
  require(context.layout(op.argmax).stride == dy.layout.stride,
          "positions are stored as maxima are");
  const PoolShape shape = shape_of(op.geometry, dx.layout, dy.layout);
  return with_activation_type(dx.layout.dtype, [&]<class T>(T) {
    return make_step([=, items = items_of<T>(dx.layout), from = dy.as<T>(), to = dx.as<T>(),
                      argmax = context.values<std::uint8_t>(op.argmax), stream = context.stream()] {
      launch(max_pool_backward_kernel<T>, one_thread_each(items), stream, shape, items, from,
             argmax, to);
    });
  });
}

}  // namespace simclr::cuda
