#pragma once
// Maximum and global average pooling. T is float, bf16 or f16; channels are padded to whole packs.

#include <cuda_runtime.h>

#include <cstdint>

namespace simclr::cuda {

/// Windows over x (images, height, width, channels) that give y (images, out_height, out_width,
/// channels); every window covers a pixel.
struct PoolShape {
  std::int64_t images = 1;
  int height = 1, width = 1;
  int out_height = 1, out_width = 1;
  int channels = 8;  ///< stored; a multiple of 8
  int kernel = 1, stride = 1, padding = 0;
};

/// y = maxima; argmax = r * kernel + s of the first.
template <class T>
void max_pool(const PoolShape& shape, const T* x, T* y, std::uint8_t* argmax, cudaStream_t stream);

/// dx = the sum of dy over the windows whose maximum the pixel is.
template <class T>
void max_pool_backward(const PoolShape& shape, const T* dy, const std::uint8_t* argmax, T* dx,
                       cudaStream_t stream);

/// h (images, channels) = means over the pixels of z (images, pixels, channels).
template <class T>
void global_average(const T* z, float* h, std::int64_t images, std::int64_t pixels,
                    std::int64_t channels, cudaStream_t stream);

/// dz (images, pixels, channels) = dh (images, channels) / pixels.
template <class T>
void global_average_backward(const float* dh, T* dz, std::int64_t images, std::int64_t pixels,
                             std::int64_t channels, cudaStream_t stream);

}  // namespace simclr::cuda
