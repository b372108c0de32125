// Averages over windows and over whole images.

#include "pool.cuh"

namespace simclr::cuda {

namespace {

/// 1 over what the sum of window (i, j) is divided by.
__device__ __forceinline__ float window_factor(const PoolShape& shape, bool whole_windows, int i,
                                               int j) {
  const int top = i * shape.stride - shape.padding;
  const int left = j * shape.stride - shape.padding;
  const int rows = min(top + shape.kernel, shape.height) - max(top, 0);
  const int columns = min(left + shape.kernel, shape.width) - max(left, 0);
  return 1.0F / static_cast<float>(whole_windows ? shape.kernel * shape.kernel : rows * columns);
}

/// y = sums of windows times their factors.
template <class T>
__global__ void __launch_bounds__(256)
    average_pool_kernel(PoolShape shape, bool whole_windows, unsigned items,
                        const T* __restrict__ x, T* __restrict__ y) {
  const unsigned item = blockIdx.x * blockDim.x + threadIdx.x;
  if (item >= items) return;
  const Place at = place_of<T>(item, shape.out_height, shape.out_width, shape.channels);
  const int top = at.row * shape.stride - shape.padding;
  const int left = at.column * shape.stride - shape.padding;
  const T* image = x + at.image * shape.height * shape.width * shape.channels + at.channel;

  float sums[kPackSize<T>] = {};
  for (int row = max(top, 0); row < min(top + shape.kernel, shape.height); ++row) {
    for (int column = max(left, 0); column < min(left + shape.kernel, shape.width); ++column) {
      const std::int64_t pixel = row * shape.width + column;
      const Pack<T> pack = load_pack(image + pixel * shape.channels);
#pragma unroll
      for (int i = 0; i < kPackSize<T>; ++i) sums[i] += widen(pack.values[i]);
    }
  }
  const float factor = window_factor(shape, whole_windows, at.row, at.column);
  Pack<T> result;
#pragma unroll
  for (int i = 0; i < kPackSize<T>; ++i) result.values[i] = narrow<T>(sums[i] * factor);
  store_pack(y + std::int64_t{item} * kPackSize<T>, result);
}

/// dx = the sum of dy times its factor over the windows that hold the pixel.
template <class T>
__global__ void __launch_bounds__(256)
    average_pool_backward_kernel(PoolShape shape, bool whole_windows, unsigned items,
                                 const T* __restrict__ dy, T* __restrict__ dx) {
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
      const std::int64_t window = i * shape.out_width + j;
      const Pack<T> gradients = load_pack(dy + image + window * shape.channels);
      const float factor = window_factor(shape, whole_windows, i, j);
#pragma unroll
      for (int e = 0; e < kPackSize<T>; ++e) sums[e] += widen(gradients.values[e]) * factor;
    }
  }

  Pack<T> result;
#pragma unroll
  for (int e = 0; e < kPackSize<T>; ++e) result.values[e] = narrow<T>(sums[e]);
  store_pack(dx + std::int64_t{item} * kPackSize<T>, result);
}

/// h (images, channels) = sums over streams of the means over the pixels of z (images, pixels,
/// streams, channels).
template <class T>
__global__ void __launch_bounds__(256)
    global_average_kernel(const T* __restrict__ z, float* __restrict__ h, unsigned items,
                          int pixels, int streams, int channels) {
  const unsigned item = blockIdx.x * blockDim.x + threadIdx.x;
  if (item >= items) return;
  const Place at = place_of<T>(item, 1, 1, channels);
  const std::int64_t row = std::int64_t{streams} * channels;
  float sums[kPackSize<T>] = {};
  for (int s = 0; s < streams; ++s) {
    const T* from = z + at.image * pixels * row + s * channels + at.channel;
#pragma unroll 4
    for (int p = 0; p < pixels; ++p) {
      const Pack<T> pack = load_pack(from + p * row);
#pragma unroll
      for (int i = 0; i < kPackSize<T>; ++i) sums[i] += widen(pack.values[i]);
    }
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

/// dz (images, pixels, streams, channels) = dh (images, channels) / pixels.
template <class T>
__global__ void __launch_bounds__(256)
    global_average_backward_kernel(const float* __restrict__ dh, T* __restrict__ dz, unsigned items,
                                   int pixels, int streams, int channels) {
  const unsigned item = blockIdx.x * blockDim.x + threadIdx.x;
  if (item >= items) return;
  const Place at = place_of<T>(item, 1, pixels, streams * channels);
  const float* from = dh + at.image * channels + at.channel % channels;
  const float factor = 1.0F / static_cast<float>(pixels);
  float sums[kPackSize<T>];
  load_floats<T>(from, sums);
  Pack<T> result;
#pragma unroll
  for (int e = 0; e < kPackSize<T>; ++e) result.values[e] = narrow<T>(sums[e] * factor);
  store_pack(dz + std::int64_t{item} * kPackSize<T>, result);
}

int pixels_of(const Layout& layout) { return static_cast<int>(layout.height * layout.width); }

/// How many streams lie side by side in the channels of `all`, each like `one`.
int streams_of(const Layout& all, const Layout& one) {
  const std::int64_t streams = all.channels / one.channels;
  require(streams * one.channels == all.channels && streams * one.stride == all.stride,
          "streams consist of whole packs");
  return static_cast<int>(streams);
}

}  // namespace

Prepared prepare(const AvgPool& op, const Context& context) {
  const TensorView x = context.tensor(op.x);
  const TensorView y = context.tensor(op.y);
  const PoolShape shape = shape_of(op.geometry, x.layout, y.layout);
  return with_activation_type(x.layout.dtype, [&]<class T>(T) {
    return make_step([=, items = items_of<T>(y.layout), from = x.as<T>(), to = y.as<T>(),
                      whole = op.whole_windows, stream = context.stream()] {
      launch(average_pool_kernel<T>, one_thread_each(items), stream, shape, whole, items, from, to);
    });
  });
}

Prepared prepare(const AvgPoolBackward& op, const Context& context) {
  const TensorView dx = context.tensor(op.dx);
  const TensorView dy = context.tensor(op.dy);
  const PoolShape shape = shape_of(op.geometry, dx.layout, dy.layout);
  return with_activation_type(dx.layout.dtype, [&]<class T>(T) {
    return make_step([=, items = items_of<T>(dx.layout), from = dy.as<T>(), to = dx.as<T>(),
                      whole = op.whole_windows, stream = context.stream()] {
      launch(average_pool_backward_kernel<T>, one_thread_each(items), stream, shape, whole, items,
             from, to);
    });
  });
}

Prepared prepare(const GlobalAvgPool& op, const Context& context) {
  const TensorView z = context.tensor(op.z);
  const TensorView h = context.tensor(op.h);
  const int streams = streams_of(z.layout, h.layout);
  return with_activation_type(z.layout.dtype, [&]<class T>(T) {
    return make_step([items = items_of<T>(h.layout), from = z.as<T>(), to = h.as<float>(),
                      pixels = pixels_of(z.layout), streams,
                      channels = static_cast<int>(h.layout.stride), stream = context.stream()] {
      launch(global_average_kernel<T>, one_thread_each(items), stream, from, to, items, pixels,
             streams, channels);
    });
  });
}

Prepared prepare(const GlobalAvgPoolBackward& op, const Context& context) {
  const TensorView dz = context.tensor(op.dz);
  const TensorView dh = context.tensor(op.dh);
  const int streams = streams_of(dz.layout, dh.layout);
  return with_activation_type(dz.layout.dtype, [&]<class T>(T) {
    return make_step([items = items_of<T>(dz.layout), from = dh.as<float>(), to = dz.as<T>(),
                      pixels = pixels_of(dz.layout), streams,
                      channels = static_cast<int>(dh.layout.stride), stream = context.stream()] {
      launch(global_average_backward_kernel<T>, one_thread_each(items), stream, from, to, items,
             pixels, streams, channels);
    });
  });
}

}  // namespace simclr::cuda
