#pragma once
// Conversion of values between types, and dispatch on types known at run time.

#include <cstdint>
#include <type_traits>

#include "simclr/tensor/dtype.hpp"

namespace simclr {

/// Converts a value to another type; f32 is rounded to the nearest even 16-bit value.
template <class To, class From>
To convert_value(From value) {
  if constexpr (std::is_same_v<To, From>) {
    return value;
  } else if constexpr (std::is_same_v<From, bf16> || std::is_same_v<From, f16>) {
    return convert_value<To>(to_float(value));
  } else if constexpr (std::is_same_v<To, bf16>) {
    return to_bf16(static_cast<float>(value));
  } else if constexpr (std::is_same_v<To, f16>) {
    return to_f16(static_cast<float>(value));
  } else {
    return static_cast<To>(value);
  }
}

/// Calls f with a value of the C++ type of `dtype`.
template <class F>
void with_type(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32:
      return f(float{});
    case DType::f64:
      return f(double{});
    case DType::bf16:
      return f(bf16{});
    case DType::f16:
      return f(f16{});
    case DType::i32:
      return f(std::int32_t{});
    case DType::u8:
      return f(std::uint8_t{});
  }
}

}  // namespace simclr
