#pragma once
// How the CPU backend stores tensors: layouts, memory, and the way between the host's canonical
// layout and ours.

#include <cstddef>
#include <cstdint>

#include "simclr/backend/backend.hpp"
#include "simclr/tensor/tensor.hpp"

namespace simclr::cpu {

/// Channels per block: one AVX-512 register of f32.
inline constexpr std::int64_t kBlock = 16;

/// Storage order of a tensor's elements.
struct Layout {
  enum class Kind : std::uint8_t {
    canonical,  ///< as on the host, packed: flat buffers, small tensors, input images (N,H,W,C)
    planar,     ///< (N,C,H,W): packed images (3 channels), what first convolutions read
    blocked,    ///< (N, blocks, H, W, 16); channels past C are zero, always (u8: anything)
  };

  Kind kind = Kind::canonical;
  DType dtype = DType::f32;
  // Extents of activations, which have rank 4, or rank 2 with height = width = 1; the elements of
  // other tensors all count as channels.
  std::int64_t images = 1;
  std::int64_t height = 1;
  std::int64_t width = 1;
  std::int64_t channels = 1;

  [[nodiscard]] std::int64_t pixels() const { return height * width; }
  [[nodiscard]] std::int64_t blocks() const { return (channels + kBlock - 1) / kBlock; }
  /// Channels with padding. The row stride of a blocked (N,C) tensor, which is thus row-major.
  [[nodiscard]] std::int64_t padded_channels() const {
    return kind == Kind::blocked ? blocks() * kBlock : channels;
  }
  [[nodiscard]] std::int64_t stored_elements() const {
    return images * pixels() * padded_channels();
  }
  [[nodiscard]] std::size_t stored_bytes() const {
    return static_cast<std::size_t>(stored_elements()) * size_in_bytes(dtype);
  }

  /// Where element (n, pixel, c) is stored.
  [[nodiscard]] std::int64_t index(std::int64_t n, std::int64_t pixel, std::int64_t c) const {
    if (kind == Kind::planar) return (n * channels + c) * pixels() + pixel;
    if (kind == Kind::blocked) {
      return ((n * blocks() + c / kBlock) * pixels() + pixel) * kBlock + c % kBlock;
    }
    return (n * pixels() + pixel) * channels + c;
  }

  bool operator==(const Layout&) const = default;
};

/// Blocked: f32, bf16 and u8 of rank 2, and of rank 4 unless they are images (3 channels). Images
/// are planar in the arena and canonical where the host writes them. Canonical: the flat buffers,
/// control tensors, rank 1 and 3, f64, i32.
Layout layout_of(const TensorInfo& tensor);

/// Aligned to 64 bytes; large buffers to 2 MB, asking for huge pages.
Buffer allocate(std::size_t bytes);
/// Copies. `host` is the whole tensor, canonical, in the tensor's dtype or in f32.
void upload(const TensorInfo& tensor, std::byte* device, ConstBufferSpan host);
void download(const TensorInfo& tensor, const std::byte* device, BufferSpan host);

/// Whether none of `count` f32 values is infinite or NaN.
bool all_finite(const std::byte* values, std::size_t count);

}  // namespace simclr::cpu
