#pragma once
// How the CUDA backend stores a tensor: as on the host, channels last, with channels padded so that
// vectors of 16 bytes and tensor cores fit; and from its run-time type to the kernels' template
// argument.

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "simclr/core/check.hpp"
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
};

/// Padded: activations of rank 4 and 2 (f32, bf16, f16, u8) outside the flat buffers. Packed as on
/// the host: everything else, among it the input images (N,H,W,3).
Layout layout_of(const TensorInfo& tensor);

/// Calls f(T{}) with T = float, bf16 or f16: what activations may be.
template <class F>
decltype(auto) with_activation_type(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32:
      return f(float{});
    case DType::bf16:
      return f(bf16{});
    case DType::f16:
      return f(f16{});
    case DType::f64:
    case DType::i32:
    case DType::u8:
      break;
  }
  fail("activations cannot be {}", name_of(dtype));
}
/// The same where activations are in 16 bits.
template <class F>
void with_half_type(DType dtype, F&& f) {
  with_activation_type(dtype, [&]<class T>(T value) {
    if constexpr (std::is_same_v<T, float>) {
      fail("internal error: {} is not a 16-bit type", name_of(DType::f32));
    } else {
      f(value);
    }
  });
}

}  // namespace simclr::cuda
