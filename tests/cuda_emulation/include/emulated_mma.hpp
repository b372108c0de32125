#pragma once
// What kernels/mma.cuh says in PTX, for the emulated device.

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "emulation.hpp"

namespace simclr::cuda {

template <class T>
void mma(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  constexpr auto kType =
      std::is_same_v<T, bf16> ? emulation::HalfType::bf16 : emulation::HalfType::f16;
  emulation::mma_m16n8k16(kType, d, a, b, d);
}

using SharedAddress = std::byte*;
inline SharedAddress shared_address(void* shared) { return static_cast<std::byte*>(shared); }
inline SharedAddress flip_bits(SharedAddress address, unsigned bits) {
  return std::bit_cast<SharedAddress>(std::bit_cast<std::uintptr_t>(address) ^ bits);
}

inline void load_matrices(std::uint32_t (&m)[4], SharedAddress row) {
  emulation::load_matrices_x4(m, row, false);
}
inline void load_matrices_transposed(std::uint32_t (&m)[4], SharedAddress row) {
  emulation::load_matrices_x4(m, row, true);
}

template <class T>
std::uint32_t pack_pair(float first, float second) {
  return static_cast<std::uint32_t>(narrow<T>(first).bits) |
         static_cast<std::uint32_t>(narrow<T>(second).bits) << 16;
}

inline float exp2_fast(float x) { return std::exp2(x); }

inline void copy_async(SharedAddress shared, const void* global) {
  emulation::copy_async(shared, global, 16);
}
inline void commit_copies() { emulation::commit_copies(); }
template <int kPending>
void wait_for_copies() {
  emulation::wait_for_copies(kPending);
}

}  // namespace simclr::cuda
