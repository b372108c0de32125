// Maximum and global average pooling; channels are padded to whole packs.

#include <limits>

#include "../launch.hpp"
#include "../steps.hpp"
#include "element.cuh"

namespace simclr::cuda {

namespace {

/// Windows over x (images, height, width, channels) that give y (images, out_height, out_width,
/// channels); every window covers a pixel.
struct PoolShape {
  std::int64_t images = 1;
  int height = 1, width = 1;
  int out_height = 1, out_width = 1;
  int channels = 8;  ///< stored; a multiple of 8
  int kernel = 1, stride = 1, padding = 0;
};

/// Where in its window each element of a pack found its maximum.
template <class T>
struct alignas(kPackSize<T>) Positions {
  std::uint8_t values[kPackSize<T>];
};

/// The pixel and the first channel of thread `item`, of `channels` / kPackSize a pixel.
struct Place {
  int row, column;
  std::int64_t image;
  int channel;
};
template <class T>
__device__ __forceinline__ Place place_of(unsigned item, int height, int width, int channels) {
  const unsigned packs = static_cast<unsigned>(channels / kPackSize<T>);
  const unsigned pixel = item / packs;
  const unsigned line = pixel / static_cast<unsigned>(width);
  return {.row = static_cast<int>(line % static_cast<unsigned>(height)),
          .column = static_cast<int>(pixel % static_cast<unsigned>(width)),
          .image = line / static_cast<unsigned>(height),
          .channel = static_cast<int>(item % packs) * kPackSize<T>};
}

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

/// The first window, of those that start every `stride` pixels, that reaches `position`.
__device__ __forceinline__ int first_window(int position, const PoolShape& shape) {
  const int start = position + shape.padding - shape.kernel + 1;
  return start > 0 ? (start + shape.stride - 1) / shape.stride : 0;
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

/// h (images, channels) = means over the pixels of z (images, pixels, channels).
template <class T>
__global__ void __launch_bounds__(256)
    global_average_kernel(const T* __restrict__ z, float* __restrict__ h, unsigned items,
                          int pixels, int channels) {
  const unsigned item = blockIdx.x * blockDim.x + threadIdx.x;
  if (item >= items) return;
  const Place at = place_of<T>(item, 1, 1, channels);
  const T* from = z + at.image * pixels * channels + at.channel;
  float sums[kPackSize<T>] = {};
#pragma unroll 4
  for (int p = 0; p < pixels; ++p) {
    const Pack<T> pack = load_pack(from + std::int64_t{p} * channels);
#pragma unroll
    for (int i = 0; i < kPackSize<T>; ++i) sums[i] += widen(pack.values[i]);
  }
  float* to = h + std::int64_t{item} * kPackSize<T>;
#pragma unroll
  for (int part = 0; part < kPackSize<T>; part += kPackSize<float>) {
    Pack<float> means;
#pragma unroll
    for (int i = 0; i < kPackSize<float>; ++i) {
      means.values[i] = sums[part + i] / static_cast<float>(pixels);
    }
    store_pack(to + part, means);
  }
}

/// dz (images, pixels, channels) = dh (images, channels) / pixels.
template <class T>
__global__ void __launch_bounds__(256)
    global_average_backward_kernel(const float* __restrict__ dh, T* __restrict__ dz, unsigned items,
                                   int pixels, int channels) {
  const unsigned item = blockIdx.x * blockDim.x + threadIdx.x;
  if (item >= items) return;
  const Place at = place_of<T>(item, 1, pixels, channels);
  const float* from = dh + at.image * channels + at.channel;
  const float factor = 1.0F / static_cast<float>(pixels);
  float sums[kPackSize<T>];
  load_floats<T>(from, sums);
  Pack<T> result;
#pragma unroll
  for (int e = 0; e < kPackSize<T>; ++e) result.values[e] = narrow<T>(sums[e] * factor);
  store_pack(dz + std::int64_t{item} * kPackSize<T>, result);
}

/// One thread for kPackSize channels of each pixel; they are counted in 32 bits.
template <class T>
unsigned items_of(const Layout& layout) {
  require(layout.stride % kPackSize<T> == 0, "pooled channels come in whole packs");
  const std::int64_t items = layout.rows() * (layout.stride / kPackSize<T>);
  require(items <= std::numeric_limits<std::int32_t>::max(), "a pool's packs fit 31 bits");
  return static_cast<unsigned>(items);
}

int pixels_of(const Layout& layout) { return static_cast<int>(layout.height * layout.width); }

PoolShape shape_of(const ConvGeometry& window, const Layout& input, const Layout& output) {
  require(input.stride == output.stride, "pooled tensors are stored with the same channels");
  auto shape = pool_shape<PoolShape>(window, input, output);
  shape.images = input.images;
  shape.channels = static_cast<int>(input.stride);
  return shape;
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

Prepared prepare(const GlobalAvgPool& op, const Context& context) {
  const TensorView z = context.tensor(op.z);
  const TensorView h = context.tensor(op.h);
  require(z.layout.stride == h.layout.stride, "means are stored with their tensor's channels");
  return with_activation_type(z.layout.dtype, [&]<class T>(T) {
    return make_step([items = items_of<T>(h.layout), from = z.as<T>(), to = h.as<float>(),
                      pixels = pixels_of(z.layout), channels = static_cast<int>(z.layout.stride),
                      stream = context.stream()] {
      launch(global_average_kernel<T>, one_thread_each(items), stream, from, to, items, pixels,
             channels);
    });
  });
}

Prepared prepare(const GlobalAvgPoolBackward& op, const Context& context) {
  const TensorView dz = context.tensor(op.dz);
  const TensorView dh = context.tensor(op.dh);
  require(dz.layout.stride == dh.layout.stride, "means are stored with their tensor's channels");
  return with_activation_type(dz.layout.dtype, [&]<class T>(T) {
    return make_step([items = items_of<T>(dz.layout), from = dh.as<float>(), to = dz.as<T>(),
                      pixels = pixels_of(dz.layout), channels = static_cast<int>(dz.layout.stride),
                      stream = context.stream()] {
      launch(global_average_backward_kernel<T>, one_thread_each(items), stream, from, to, items,
             pixels, channels);
    });
  });
}

}  // namespace simclr::cuda
