#include "filter.hpp"

#include "../launch.hpp"
#include "element.cuh"

namespace simclr::cuda {

namespace {

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

template <class T>
void pad_filter(const FilterPadding& shape, const float* w, T* padded, cudaStream_t stream) {
  launch(pad_filter_kernel<T>, one_thread_each(shape.stored_elements()), stream, shape, w, padded);
}
template void pad_filter(const FilterPadding&, const float*, float*, cudaStream_t);
template void pad_filter(const FilterPadding&, const float*, bf16*, cudaStream_t);
template void pad_filter(const FilterPadding&, const float*, f16*, cudaStream_t);

template <class T>
void unpad_filter(const FilterPadding& shape, const T* padded, float* w, cudaStream_t stream) {
  launch(unpad_filter_kernel<T>, one_thread_each(shape.elements()), stream, shape, padded, w);
}
template void unpad_filter(const FilterPadding&, const float*, float*, cudaStream_t);
template void unpad_filter(const FilterPadding&, const bf16*, float*, cudaStream_t);
template void unpad_filter(const FilterPadding&, const f16*, float*, cudaStream_t);

}  // namespace simclr::cuda
