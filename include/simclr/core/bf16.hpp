#pragma once

#include <bit>
#include <cstdint>

#include "simclr/core/host_device.hpp"

namespace simclr {

/// A bfloat16 number: the upper half of an IEEE binary32.
struct bf16 {
  std::uint16_t bits = 0;
};

SIMCLR_HD inline float to_float(bf16 value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16);
}

/// Rounds to nearest even; NaN stays NaN (quiet).
SIMCLR_HD inline bf16 to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
  const std::uint32_t quiet_nan = (bits >> 16) | 0x40u;
  const bool is_nan = (bits & 0x7FFFFFFFu) > 0x7F800000u;
  return bf16{static_cast<std::uint16_t>(is_nan ? quiet_nan : rounded)};
}

}  // namespace simclr
