#pragma once
// Joins and rectifiers over whole tensors, the packing of images, conversions, and filters between
// the flat buffers and the shapes that convolutions want. T is float, bf16 or f16; tensors start at
// multiples of 16 bytes.

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

/// to[i] = from[i] rounded to T (bf16 or f16), i < count; both aligned to 16 bytes.
template <class T>
void convert(const float* from, T* to, std::int64_t count, cudaStream_t stream);

/// A filter (out, taps, in), and the same with its channels filled up with zeros: (stored_out,
/// taps, stored_in). Taps are the R x S positions of the window.
struct FilterPadding {
  std::int64_t out = 1, taps = 1, in = 1;
  std::int64_t stored_out = 1, stored_in = 1;

  [[nodiscard]] constexpr bool changes_nothing() const {
    return out == stored_out && in == stored_in;
  }
  [[nodiscard]] constexpr std::int64_t elements() const { return out * taps * in; }
  [[nodiscard]] constexpr std::int64_t stored_elements() const {
    return stored_out * taps * stored_in;
  }
};

/// padded = w, rounded to T (float, bf16 or f16), and zeros.
template <class T>
void pad_filter(const FilterPadding& shape, const float* w, T* padded, cudaStream_t stream);

/// w = padded without its padding, widened.
template <class T>
void unpad_filter(const FilterPadding& shape, const T* padded, float* w, cudaStream_t stream);

// ---- pooling: channels are padded to whole packs ------------------------------------------------

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
