#pragma once

#include <cstddef>
#include <span>

#include "simclr/tensor/dtype.hpp"

namespace simclr {

/// A typed range of host or device memory; `count` is in elements.
struct BufferSpan {
  void* data = nullptr;
  std::size_t count = 0;
  DType dtype = DType::f32;

  [[nodiscard]] std::size_t bytes() const { return count * size_in_bytes(dtype); }
  /// `length` elements from element `first` on.
  [[nodiscard]] BufferSpan subspan(std::size_t first, std::size_t length) const {
    return {static_cast<std::byte*>(data) + first * size_in_bytes(dtype), length, dtype};
  }
};
struct ConstBufferSpan {
  const void* data = nullptr;
  std::size_t count = 0;
  DType dtype = DType::f32;

  ConstBufferSpan() = default;
  ConstBufferSpan(const void* from, std::size_t elements, DType type)
      : data(from), count(elements), dtype(type) {}
  ConstBufferSpan(BufferSpan span)  // NOLINT(google-explicit-constructor): adding const
      : data(span.data), count(span.count), dtype(span.dtype) {}

  [[nodiscard]] std::size_t bytes() const { return count * size_in_bytes(dtype); }
};

template <class T>
BufferSpan buffer_span(std::span<T> values) {
  return {values.data(), values.size(), dtype_of<T>};
}
template <class T>
ConstBufferSpan const_buffer_span(std::span<const T> values) {
  return {values.data(), values.size(), dtype_of<T>};
}

}  // namespace simclr
