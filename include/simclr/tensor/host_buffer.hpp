#pragma once
// Host memory for values whose type is known at run time.

#include <cstddef>
#include <memory_resource>
#include <span>
#include <vector>

#include "simclr/core/check.hpp"
#include "simclr/tensor/span.hpp"

namespace simclr {

/// A buffer aligned to a cache line, initialized with zeros.
class HostBuffer {
 public:
  explicit HostBuffer(DType dtype = DType::f32, std::size_t count = 0,
                      std::pmr::memory_resource* memory = std::pmr::get_default_resource())
      : lines_((count * size_in_bytes(dtype) + sizeof(Line) - 1) / sizeof(Line), memory),
        count_(count),
        dtype_(dtype) {}

  [[nodiscard]] std::size_t size() const { return count_; }
  [[nodiscard]] DType dtype() const { return dtype_; }
  [[nodiscard]] BufferSpan span() { return {lines_.data(), count_, dtype_}; }
  [[nodiscard]] ConstBufferSpan span() const { return {lines_.data(), count_, dtype_}; }
  /// The values; T must be their type.
  template <class T>
  [[nodiscard]] std::span<T> values() {
    require(dtype_ == dtype_of<T>, "values<T>() must be called with the buffer's type");
    return {reinterpret_cast<T*>(lines_.data()), count_};
  }
  template <class T>
  [[nodiscard]] std::span<const T> values() const {
    require(dtype_ == dtype_of<T>, "values<T>() must be called with the buffer's type");
    return {reinterpret_cast<const T*>(lines_.data()), count_};
  }

 private:
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  std::pmr::vector<Line> lines_;
  std::size_t count_;
  DType dtype_;
};

}  // namespace simclr
