#pragma once
// How the CUDA backend stores a tensor: as on the host, channels last, with channels padded so that
// vectors of 16 bytes and tensor cores fit.

#include <cstddef>
#include <cstdint>

#include "simclr/tensor/tensor.hpp"

namespace simclr::cuda {

/// Activations' channels are padded to a multiple of this: 16 bytes of a 16-bit type.
inline constexpr std::int64_t kChannelMultiple = 8;
/// Packed images: three channels and one of zeros.
inline constexpr std::int64_t kImageChannelsStored = 4;

/// Row-major (rows, stride): element (row, c) at row * stride + c. A row is a pixel or a view.
/// Channels past `channels` are zero, always (u8: anything).
struct Layout {
  DType dtype = DType::f32;
  std::int64_t images = 1;
  std::int64_t height = 1;
  std::int64_t width = 1;
  std::int64_t channels = 1;
  std::int64_t stride = 1;  ///< stored channels

  [[nodiscard]] std::int64_t rows() const { return images * height * width; }
  [[nodiscard]] std::int64_t stored_elements() const { return rows() * stride; }
  [[nodiscard]] std::size_t stored_bytes() const {
    return static_cast<std::size_t>(stored_elements()) * size_in_bytes(dtype);
  }
  [[nodiscard]] bool padded() const { return stride != channels; }
  [[nodiscard]] std::int64_t index(std::int64_t row, std::int64_t channel) const {
    return row * stride + channel;
  }
};

/// Padded: activations of rank 4 and 2 (f32, bf16, f16, u8) outside the flat buffers. Packed as on
/// the host: everything else, among it the input images (N,H,W,3).
Layout layout_of(const TensorInfo& tensor);

}  // namespace simclr::cuda
