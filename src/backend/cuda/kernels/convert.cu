#include "convert.hpp"

#include "../launch.hpp"
#include "element.cuh"

namespace simclr::cuda {

namespace {

template <class T>
__global__ void __launch_bounds__(256)
    convert_kernel(const float* __restrict__ from, T* __restrict__ to, std::int64_t count) {
  const std::int64_t first = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * kPackSize<T>;
  if (first + kPackSize<T> <= count) {
    Pack<T> pack;
#pragma unroll
    for (int part = 0; part < kPackSize<T>; part += kPackSize<float>) {
      const Pack<float> wide = load_pack(from + first + part);
#pragma unroll
      for (int i = 0; i < kPackSize<float>; ++i) pack.values[part + i] = narrow<T>(wide.values[i]);
    }
    store_pack(to + first, pack);
  } else {
    for (std::int64_t i = first; i < count; ++i) to[i] = narrow<T>(from[i]);
  }
}

}  // namespace

template <class T>
void convert(const float* from, T* to, std::int64_t count, cudaStream_t stream) {
  launch(convert_kernel<T>, one_thread_each(ceil_div<std::int64_t>(count, kPackSize<T>)), stream,
         from, to, count);
}
template void convert<bf16>(const float*, bf16*, std::int64_t, cudaStream_t);
template void convert<f16>(const float*, f16*, std::int64_t, cudaStream_t);

}  // namespace simclr::cuda
