#pragma once

#include <cstddef>
#include <memory>
#include <new>

namespace simclr::augment {

/// Uninitialized memory of plain values, aligned to a cache line; grows, never shrinks.
template <class T>
class AlignedBuffer {
 public:
  T* reserve(std::size_t count) {
    if (count > capacity_) {
      values_.reset(new (std::align_val_t{kAlignment}) T[count]);
      capacity_ = count;
    }
    return values_.get();
  }

 private:
  static constexpr std::size_t kAlignment = 64;
  struct Release {
    void operator()(T* values) const { operator delete[](values, std::align_val_t{kAlignment}); }
  };
  std::unique_ptr<T[], Release> values_;
  std::size_t capacity_ = 0;
};

}  // namespace simclr::augment
