#pragma once
// Filters between the flat buffers and the shapes that convolutions want.

#include <cuda_runtime.h>

#include <cstdint>

namespace simclr::cuda {

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

}  // namespace simclr::cuda
