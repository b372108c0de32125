#include "elementwise.hpp"

#include <limits>

#include "../launch.hpp"
#include "element.cuh"

namespace simclr::cuda {

namespace {

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

/// kKernel: the window's extent where it is known to the compiler, else 0.
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

template <class T>
__global__ void __launch_bounds__(256)
    global_average_backward_kernel(const float* __restrict__ dh, T* __restrict__ dz, unsigned items,
                                   int pixels, int channels) {
  const unsigned item = blockIdx.x * blockDim.x + threadIdx.x;
  if (item >= items) return;
  const Place at = place_of<T>(item, 1, pixels, channels);
  const float* from = dh + at.image * channels + at.channel;
  const float factor = 1.0F / static_cast<float>(pixels);
  Pack<T> result;
#pragma unroll
  for (int part = 0; part < kPackSize<T>; part += kPackSize<float>) {
    const Pack<float> sums = load_pack(from + part);
#pragma unroll
    for (int i = 0; i < kPackSize<float>; ++i) {
      result.values[part + i] = narrow<T>(sums.values[i] * factor);
    }
  }
  store_pack(dz + std::int64_t{item} * kPackSize<T>, result);
}

/// One thread for kPackSize channels of each of `pixels` pixels; they are counted in 32 bits.
template <class T>
unsigned items_of(std::int64_t pixels, std::int64_t channels) {
  require(channels % kPackSize<T> == 0, "pooled channels come in whole packs");
  const std::int64_t items = pixels * (channels / kPackSize<T>);
  require(items <= std::numeric_limits<std::int32_t>::max(), "a pool's packs fit 31 bits");
  return static_cast<unsigned>(items);
}

}  // namespace

template <class T>
void max_pool(const PoolShape& shape, const T* x, T* y, std::uint8_t* argmax, cudaStream_t stream) {
  const unsigned items =
      items_of<T>(shape.images * shape.out_height * shape.out_width, shape.channels);
  const auto kernel = shape.kernel == 3 ? max_pool_kernel<T, 3> : max_pool_kernel<T, 0>;
  launch(kernel, one_thread_each(items), stream, shape, items, x, y, argmax);
}
template void max_pool(const PoolShape&, const float*, float*, std::uint8_t*, cudaStream_t);
template void max_pool(const PoolShape&, const bf16*, bf16*, std::uint8_t*, cudaStream_t);
template void max_pool(const PoolShape&, const f16*, f16*, std::uint8_t*, cudaStream_t);

template <class T>
void max_pool_backward(const PoolShape& shape, const T* dy, const std::uint8_t* argmax, T* dx,
                       cudaStream_t stream) {
  const unsigned items = items_of<T>(shape.images * shape.height * shape.width, shape.channels);
  launch(max_pool_backward_kernel<T>, one_thread_each(items), stream, shape, items, dy, argmax, dx);
}
template void max_pool_backward(const PoolShape&, const float*, const std::uint8_t*, float*,
                                cudaStream_t);
template void max_pool_backward(const PoolShape&, const bf16*, const std::uint8_t*, bf16*,
                                cudaStream_t);
template void max_pool_backward(const PoolShape&, const f16*, const std::uint8_t*, f16*,
                                cudaStream_t);

template <class T>
void global_average(const T* z, float* h, std::int64_t images, std::int64_t pixels,
                    std::int64_t channels, cudaStream_t stream) {
  const unsigned items = items_of<T>(images, channels);
  launch(global_average_kernel<T>, one_thread_each(items), stream, z, h, items,
         static_cast<int>(pixels), static_cast<int>(channels));
}
template void global_average(const float*, float*, std::int64_t, std::int64_t, std::int64_t,
                             cudaStream_t);
template void global_average(const bf16*, float*, std::int64_t, std::int64_t, std::int64_t,
                             cudaStream_t);
template void global_average(const f16*, float*, std::int64_t, std::int64_t, std::int64_t,
                             cudaStream_t);

template <class T>
void global_average_backward(const float* dh, T* dz, std::int64_t images, std::int64_t pixels,
                             std::int64_t channels, cudaStream_t stream) {
  const unsigned items = items_of<T>(images * pixels, channels);
  launch(global_average_backward_kernel<T>, one_thread_each(items), stream, dh, dz, items,
         static_cast<int>(pixels), static_cast<int>(channels));
}
template void global_average_backward(const float*, float*, std::int64_t, std::int64_t,
                                      std::int64_t, cudaStream_t);
template void global_average_backward(const float*, bf16*, std::int64_t, std::int64_t, std::int64_t,
                                      cudaStream_t);
template void global_average_backward(const float*, f16*, std::int64_t, std::int64_t, std::int64_t,
                                      cudaStream_t);

}  // namespace simclr::cuda
