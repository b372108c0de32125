#include "allocation.hpp"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>

namespace simclr {
namespace {

std::atomic<std::size_t>& refused_bytes() {
  static std::atomic<std::size_t> bytes{0};
  return bytes;
}

}  // namespace

std::size_t last_refused_bytes() { return refused_bytes(); }

}  // namespace simclr

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

namespace {

void* or_refuse(void* memory, std::size_t bytes) {
  if (memory != nullptr) return memory;
  simclr::refused_bytes() = bytes;
  throw std::bad_alloc();
}

}  // namespace

// These replace the library's.

void* operator new(std::size_t bytes) {
  return or_refuse(std::malloc(std::max<std::size_t>(bytes, 1)), bytes);
}

void* operator new(std::size_t bytes, std::align_val_t alignment) {
  const auto unit = static_cast<std::size_t>(alignment);
  const std::size_t whole = (std::max<std::size_t>(bytes, 1) + unit - 1) / unit * unit;
  return or_refuse(std::aligned_alloc(unit, whole), bytes);
}

void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t /*bytes*/) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t /*alignment*/) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t /*bytes*/, std::align_val_t /*alignment*/) noexcept {
  std::free(memory);
}

#endif
