#pragma once

#include <bit>
#include <cstdint>

#include "simclr/core/host_device.hpp"

namespace simclr {

/// An IEEE binary16 number.
struct f16 {
  std::uint16_t bits = 0;
};

SIMCLR_HD inline float to_float(f16 value) {
  const std::uint32_t sign = static_cast<std::uint32_t>(value.bits & 0x8000u) << 16;
  const std::uint32_t exponent = (value.bits >> 10) & 0x1Fu;
  const std::uint32_t fraction = value.bits & 0x3FFu;
  if (exponent == 0x1Fu) return std::bit_cast<float>(sign | 0x7F800000u | (fraction << 13));
  if (exponent != 0)
    return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (fraction << 13));
  const float tiny = static_cast<float>(fraction) * 0x1p-24f;  // subnormal or zero: exact
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(tiny) | sign);
}

/// Rounds to nearest even, to infinity from 65520 on; NaN stays NaN (quiet).
SIMCLR_HD inline f16 to_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000u);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFu;
  std::uint32_t half = 0;
  if (magnitude > 0x7F800000u) {
    half = 0x7E00u;
  } else if (magnitude >= 0x477FF000u) {  // 65520
    half = 0x7C00u;
  } else if (magnitude >= 0x38800000u) {  // 2^-14: normal
    const std::uint32_t rebased = magnitude - 0x38000000u;
    half = (rebased + 0xFFFu + ((rebased >> 13) & 1u)) >> 13;
  } else {  // adding 0.5 rounds to multiples of 2^-24, which are the last bits of the sum
    const float sum = std::bit_cast<float>(magnitude) + 0.5F;
    half = std::bit_cast<std::uint32_t>(sum) - 0x3F000000u;
  }
  return f16{static_cast<std::uint16_t>(sign | half)};
}

}  // namespace simclr
