// Joins and rectifiers over whole tensors, the packing of images, conversions, and filters between
// the flat buffers and the shapes that convolutions want. T is float, bf16 or f16; tensors start at
// multiples of 16 bytes.

#include "../launch.hpp"
#include "../steps.hpp"
#include "element.cuh"
#include "kernels.hpp"

namespace simclr::cuda {

namespace {

struct Sum {
  __device__ float operator()(float a, float b) const { return a + b; }
};
struct PositivePart {
  __device__ float operator()(float y) const { return y > 0 ? y : 0.0F; }
};
struct WherePositive {
  __device__ float operator()(float dz, float z) const { return z > 0 ? dz : 0.0F; }
};

template <class T, class F, class... Packs>
__device__ __forceinline__ Pack<T> map_packs(const F& f, const Packs&... packs) {
  Pack<T> result;
#pragma unroll
  for (int i = 0; i < kPackSize<T>; ++i) result.values[i] = narrow<T>(f(widen(packs.values[i])...));
  return result;
}

/// to[i] = f(from[i]...), computed in f32; `to` may be one of `from`.
template <class F, class T, class... Inputs>
__global__ void __launch_bounds__(256)
    map_kernel(F f, T* to, std::int64_t count, const Inputs*... from) {
  const std::int64_t first = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * kPackSize<T>;
  if (first + kPackSize<T> <= count) {
    store_pack(to + first, map_packs<T>(f, load_pack(from + first)...));
  } else {
    for (std::int64_t i = first; i < count; ++i) to[i] = narrow<T>(f(widen(from[i])...));
  }
}

template <class F, class T, class... Inputs>
void map(F f, cudaStream_t stream, std::int64_t count, T* to, const Inputs*... from) {
  launch(map_kernel<F, T, Inputs...>, one_thread_each(ceil_div<std::int64_t>(count, kPackSize<T>)),
         stream, f, to, count, from...);
}

constexpr int kImageChannels = 3;
constexpr int kStoredChannels = kImageChannelsStored;
/// Pixels of a thread: three 16-byte packs, of which it makes four.
template <class T>
constexpr int kPixels = kPackSize<T>;

template <class T>
__global__ void __launch_bounds__(256)
    pack_images_kernel(const T* __restrict__ views, T* __restrict__ x, std::int64_t pixels) {
  const std::int64_t first = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * kPixels<T>;
  if (pixels - first < kPixels<T>) {
    for (std::int64_t p = first; p < pixels; ++p) {
      for (int c = 0; c < kImageChannels; ++c) {
        x[p * kStoredChannels + c] = views[p * kImageChannels + c];
      }
      x[p * kStoredChannels + kImageChannels] = narrow<T>(0);
    }
    return;
  }
  T values[kPixels<T> * kImageChannels];
#pragma unroll
  for (int part = 0; part < kPixels<T> * kImageChannels; part += kPackSize<T>) {
    const Pack<T> pack = load_pack(views + first * kImageChannels + part);
#pragma unroll
    for (int i = 0; i < kPackSize<T>; ++i) values[part + i] = pack.values[i];
  }
#pragma unroll
  for (int part = 0; part < kPixels<T> * kStoredChannels; part += kPackSize<T>) {
    Pack<T> pack;
#pragma unroll
    for (int i = 0; i < kPackSize<T>; ++i) {
      const int pixel = (part + i) / kStoredChannels;
      const int c = (part + i) % kStoredChannels;
      pack.values[i] =
          c < kImageChannels ? values[pixel * kImageChannels + c % kImageChannels] : narrow<T>(0);
    }
    store_pack(x + first * kStoredChannels + part, pack);
  }
}

template <class T>
__global__ void __launch_bounds__(256)
    convert_kernel(const float* __restrict__ from, T* __restrict__ to, std::int64_t count) {
  const std::int64_t first = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * kPackSize<T>;
  if (first + kPackSize<T> <= count) {
    store_pack(to + first, load_narrowed<T>(from + first));
  } else {
    for (std::int64_t i = first; i < count; ++i) to[i] = narrow<T>(from[i]);
  }
}

// A filter's rows are its (k, tap) pairs, so padded output channels are rows past the last.

template <class T>
__global__ void __launch_bounds__(256)
    pad_filter_kernel(FilterPadding shape, const float* __restrict__ w, T* __restrict__ padded) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= shape.stored_elements()) return;
  const std::int64_t row = i / shape.stored_in;
  const std::int64_t c = i % shape.stored_in;
  const bool exists = row < shape.out * shape.taps && c < shape.in;
  padded[i] = narrow<T>(exists ? w[row * shape.in + c] : 0.0F);
}

template <class T>
__global__ void __launch_bounds__(256)
    unpad_filter_kernel(FilterPadding shape, const T* __restrict__ padded, float* __restrict__ w) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= shape.elements()) return;
  w[i] = widen(padded[i / shape.in * shape.stored_in + i % shape.in]);
}

}  // namespace

Prepared prepare(const AddInto& op, const Context& context) {
  const TensorView from = context.tensor(op.from);
  const TensorView into = context.tensor(op.into);
  require(from.layout.stride == into.layout.stride, "what is added is stored as what it joins");
  return with_activation_type(into.layout.dtype, [&]<class T>(T) {
    return make_step([from = from.as<T>(), into = into.as<T>(),
                      count = into.layout.stored_elements(),
                      stream = context.stream()] { map(Sum{}, stream, count, into, into, from); });
  });
}

Prepared prepare(const Relu& op, const Context& context) {
  const TensorView y = context.tensor(op.y);
  const TensorView z = context.tensor(op.z);
  require(y.layout.stride == z.layout.stride, "a rectifier's tensors are stored alike");
  return with_activation_type(z.layout.dtype, [&]<class T>(T) {
    return make_step([y = y.as<T>(), z = z.as<T>(), count = z.layout.stored_elements(),
                      stream = context.stream()] { map(PositivePart{}, stream, count, z, y); });
  });
}

Prepared prepare(const ReluBackward& op, const Context& context) {
  const TensorView dz = context.tensor(op.dz);
  const TensorView z = context.tensor(op.z);
  const TensorView dy = context.tensor(op.dy);
  require(dz.layout.stride == dy.layout.stride && z.layout.stride == dy.layout.stride,
          "a rectifier's tensors are stored alike");
  return with_activation_type(dy.layout.dtype, [&]<class T>(T) {
    return make_step(
        [dz = dz.as<T>(), z = z.as<T>(), dy = dy.as<T>(), count = dy.layout.stored_elements(),
         stream = context.stream()] { map(WherePositive{}, stream, count, dy, dz, z); });
  });
}

Prepared prepare(const PackInput& op, const Context& context) {
  const TensorView views = context.tensor(op.views);
  const TensorView x = context.tensor(op.x);
  require(!views.layout.padded() && views.layout.channels == kImageChannels &&
              x.layout.stride == kImageChannelsStored,
          "images come with three channels and are packed to four");
  return with_activation_type(x.layout.dtype, [&]<class T>(T) {
    return make_step([views = views.as<T>(), x = x.as<T>(), pixels = x.layout.rows(),
                      stream = context.stream()] {
      launch(pack_images_kernel<T>, one_thread_each(ceil_div<std::int64_t>(pixels, kPixels<T>)),
             stream, views, x, pixels);
    });
  });
}

void convert(const float* from, std::byte* to, std::int64_t count, DType dtype,
             cudaStream_t stream) {
  with_half_type(dtype, [&]<class T>(T) {
    launch(convert_kernel<T>, one_thread_each(ceil_div<std::int64_t>(count, kPackSize<T>)), stream,
           from, reinterpret_cast<T*>(to), count);
  });
}

void pad_filter(const FilterPadding& shape, const float* w, std::byte* padded, DType dtype,
                cudaStream_t stream) {
  with_activation_type(dtype, [&]<class T>(T) {
    launch(pad_filter_kernel<T>, one_thread_each(shape.stored_elements()), stream, shape, w,
           reinterpret_cast<T*>(padded));
  });
}

void unpad_filter(const FilterPadding& shape, const std::byte* padded, DType dtype, float* w,
                  cudaStream_t stream) {
  with_activation_type(dtype, [&]<class T>(T) {
    launch(unpad_filter_kernel<T>, one_thread_each(shape.elements()), stream, shape,
           reinterpret_cast<const T*>(padded), w);
  });
}

}  // namespace simclr::cuda
