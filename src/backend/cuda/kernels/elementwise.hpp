#pragma once
// Joins and rectifiers over whole tensors, and the packing of images. T is float, bf16 or f16;
// tensors start at multiples of 16 bytes.

#include <cuda_runtime.h>

#include <cstdint>

namespace simclr::cuda {

/// into += from.
template <class T>
void add_into(const T* from, T* into, std::int64_t count, cudaStream_t stream);

/// z = max(y, 0).
template <class T>
void relu(const T* y, T* z, std::int64_t count, cudaStream_t stream);

/// dy = dz where z > 0, else 0.
template <class T>
void relu_backward(const T* dz, const T* z, T* dy, std::int64_t count, cudaStream_t stream);

/// x (pixels, 4) = views (pixels, 3) and a channel of zeros.
template <class T>
void pack_images(const T* views, T* x, std::int64_t pixels, cudaStream_t stream);

}  // namespace simclr::cuda
