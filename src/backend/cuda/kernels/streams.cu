// The choice between the two streams of selective kernels. x (images, pixels, 2, channels) holds
// both streams of a pixel side by side, m (images, 2, channels) their logits.

#include "pool.cuh"

namespace simclr::cuda {

namespace {

/// Packs of channels and pixels at a time of a block; a sum over pixels goes through shared memory.
constexpr unsigned kPacks = 8;
constexpr unsigned kPixels = 32;

struct StreamShape {
  int pixels = 1;
  int channels = 16;  ///< of one stream
};

/// a = 1/(1 + exp(m1 - m0)) and 1-a, each computed by itself, so that a small one has all its
/// digits.
template <class T>
struct Shares {
  float first[kPackSize<T>];
  float second[kPackSize<T>];
};
template <class T>
__device__ __forceinline__ Shares<T> load_shares(const float* m0, int channels) {
  float first[kPackSize<T>];
  float second[kPackSize<T>];
  load_floats<T>(m0, first);
  load_floats<T>(m0 + channels, second);
  Shares<T> shares;
#pragma unroll
  for (int i = 0; i < kPackSize<T>; ++i) {
    shares.first[i] = 1.0F / (1.0F + expf(second[i] - first[i]));
    shares.second[i] = 1.0F / (1.0F + expf(first[i] - second[i]));
  }
  return shares;
}

/// y (images, pixels, channels) = a x0 + (1-a) x1.
template <class T>
__global__ void __launch_bounds__(256)
    select_kernel(StreamShape shape, unsigned items, const T* __restrict__ x,
                  const float* __restrict__ m, T* __restrict__ y) {
  const unsigned item = blockIdx.x * blockDim.x + threadIdx.x;
  if (item >= items) return;
  const Place at = place_of<T>(item, 1, shape.pixels, shape.channels);
  const std::int64_t pixel = at.image * shape.pixels + at.column;
  const T* from = x + pixel * 2 * shape.channels + at.channel;
  const Shares<T> shares =
      load_shares<T>(m + at.image * 2 * shape.channels + at.channel, shape.channels);
  const Pack<T> x0 = load_pack(from);
  const Pack<T> x1 = load_pack(from + shape.channels);
  Pack<T> result;
#pragma unroll
  for (int i = 0; i < kPackSize<T>; ++i) {
    result.values[i] =
        narrow<T>(shares.first[i] * widen(x0.values[i]) + shares.second[i] * widen(x1.values[i]));
  }
  store_pack(y + std::int64_t{item} * kPackSize<T>, result);
}

/// dx = [a dy | (1-a) dy]; dm = [g | -g], g = a (1-a) sum over pixels of dy (x0 - x1). A block has
/// kPacks packs (threadIdx.x) of an image; its kPixels rows of threads take turns at the pixels.
template <class T>
__global__ void __launch_bounds__(kPacks* kPixels)
    select_backward_kernel(StreamShape shape, const T* __restrict__ dy, const T* __restrict__ x,
                           const float* __restrict__ m, T* __restrict__ dx,
                           float* __restrict__ dm) {
  __shared__ float sums[kPixels][kPacks][kPackSize<T>];
  const unsigned pack = blockIdx.x * kPacks + threadIdx.x;
  const int channel = static_cast<int>(pack) * kPackSize<T>;
  const std::int64_t image = blockIdx.y;
  const float* logits = m + image * 2 * shape.channels + channel;
  const bool inside = channel < shape.channels;
  Shares<T> shares = {};
  float sum[kPackSize<T>] = {};
  if (inside) {
    shares = load_shares<T>(logits, shape.channels);
    for (int p = static_cast<int>(threadIdx.y); p < shape.pixels; p += kPixels) {
      const std::int64_t pixel = image * shape.pixels + p;
      const std::int64_t at = pixel * 2 * shape.channels + channel;
      const Pack<T> gradient = load_pack(dy + pixel * shape.channels + channel);
      const Pack<T> x0 = load_pack(x + at);
      const Pack<T> x1 = load_pack(x + at + shape.channels);
      Pack<T> dx0;
      Pack<T> dx1;
#pragma unroll
      for (int i = 0; i < kPackSize<T>; ++i) {
        const float g = widen(gradient.values[i]);
        sum[i] += g * (widen(x0.values[i]) - widen(x1.values[i]));
        dx0.values[i] = narrow<T>(shares.first[i] * g);
        dx1.values[i] = narrow<T>(shares.second[i] * g);
      }
      store_pack(dx + at, dx0);
      store_pack(dx + at + shape.channels, dx1);
    }
  }
#pragma unroll
  for (int i = 0; i < kPackSize<T>; ++i) sums[threadIdx.y][threadIdx.x][i] = sum[i];
  __syncthreads();
  if (!inside || threadIdx.y != 0) return;
#pragma unroll
  for (int i = 0; i < kPackSize<T>; ++i) {
    float total = 0;
#pragma unroll 4
    for (unsigned row = 0; row < kPixels; ++row) total += sums[row][threadIdx.x][i];
    const float g = shares.first[i] * shares.second[i] * total;
    float* to = dm + image * 2 * shape.channels + channel + i;
    to[0] = g;
    to[shape.channels] = -g;
  }
}

StreamShape stream_shape(const Layout& both, const Layout& one) {
  require(both.stride == 2 * one.stride && both.channels == 2 * one.channels && !one.padded(),
          "two streams of whole packs are selected from");
  return {.pixels = static_cast<int>(one.height * one.width),
          .channels = static_cast<int>(one.stride)};
}

}  // namespace

Prepared prepare(const SelectStreams& op, const Context& context) {
  const TensorView x = context.tensor(op.x);
  const TensorView y = context.tensor(op.y);
  const StreamShape shape = stream_shape(x.layout, y.layout);
  return with_activation_type(y.layout.dtype, [&]<class T>(T) {
    return make_step([=, items = items_of<T>(y.layout), from = x.as<T>(), to = y.as<T>(),
                      m = context.values<float>(op.m), stream = context.stream()] {
      launch(select_kernel<T>, one_thread_each(items), stream, shape, items, from, m, to);
    });
  });
}

Prepared prepare(const SelectStreamsBackward& op, const Context& context) {
  const TensorView dy = context.tensor(op.dy);
  const TensorView dx = context.tensor(op.dx);
  const StreamShape shape = stream_shape(dx.layout, dy.layout);
  return with_activation_type(dy.layout.dtype, [&]<class T>(T) {
    const auto packs = static_cast<unsigned>(shape.channels / kPackSize<T>);
    const LaunchShape blocks{
        .grid = dim3(ceil_div(packs, kPacks), static_cast<unsigned>(dy.layout.images)),
        .block = dim3(kPacks, kPixels)};
    return make_step([=, from = dy.as<T>(), x = context.tensor(op.x).as<T>(), to = dx.as<T>(),
                      m = context.values<float>(op.m), dm = context.values<float>(op.dm),
                      stream = context.stream()] {
      launch(select_backward_kernel<T>, blocks, stream, shape, from, x, m, to, dm);
    });
  });
}

}  // namespace simclr::cuda
