#pragma once
// The order of TopK as one integer, so that every way of selecting and sorting finds the same.
// Called by the CPU step and by the CUDA kernel.

#include <bit>
#include <cstdint>

#include "simclr/core/host_device.hpp"

namespace simclr::top_k_order {

/// Larger where the value is: negative numbers have all their bits flipped, positive ones the sign
/// bit. Both zeros are alike and NaN is above infinity. No value's key is 0.
SIMCLR_HD_INLINE std::uint32_t key_of(float value) {
  constexpr std::uint32_t kSign = 0x80000000U;
  if (value != value) return 0xFFFFFFFFU;
#ifdef __CUDA_ARCH__
  const std::uint32_t bits = __float_as_uint(value);
#else
  const auto bits = std::bit_cast<std::uint32_t>(value);
#endif
  if (value == 0) return kSign;
  return (bits & kSign) != 0 ? ~bits : bits | kSign;
}

/// What is before another candidate is the larger integer; none is 0.
SIMCLR_HD_INLINE std::uint64_t candidate_of(std::uint32_t key, std::int32_t column) {
  return std::uint64_t{key} << 32 | (0xFFFFFFFFU - static_cast<std::uint32_t>(column));
}
SIMCLR_HD_INLINE std::int32_t column_of(std::uint64_t candidate) {
  return static_cast<std::int32_t>(0xFFFFFFFFU - static_cast<std::uint32_t>(candidate));
}

}  // namespace simclr::top_k_order
