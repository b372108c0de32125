#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "simclr/core/bf16.hpp"
#include "simclr/core/f16.hpp"

namespace simclr {

enum class DType : std::uint8_t { f32, f64, bf16, f16, i32, u8 };

std::size_t size_in_bytes(DType dtype);
std::string_view name_of(DType dtype);

template <class T>
struct dtype_of_impl;
template <>
struct dtype_of_impl<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct dtype_of_impl<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct dtype_of_impl<bf16> {
  static constexpr DType value = DType::bf16;
};
template <>
struct dtype_of_impl<f16> {
  static constexpr DType value = DType::f16;
};
template <>
struct dtype_of_impl<std::int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct dtype_of_impl<std::uint8_t> {
  static constexpr DType value = DType::u8;
};
template <class T>
inline constexpr DType dtype_of = dtype_of_impl<T>::value;

}  // namespace simclr
