#pragma once
// Elements of tensors in kernels: conversion to f32 and back, and 16-byte vectors of them.

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "simclr/core/bf16.hpp"
#include "simclr/core/f16.hpp"

namespace simclr::cuda {

/// An element as f32; exact.
__device__ __forceinline__ float widen(float value) { return value; }
__device__ __forceinline__ float widen(bf16 value) {
  return __uint_as_float(static_cast<unsigned>(value.bits) << 16);
}
__device__ __forceinline__ float widen(f16 value) {
#ifdef __CUDA_ARCH__
  float wide;
  asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(value.bits));
  return wide;
#else
  return to_float(value);
#endif
}

/// f32 rounded to nearest even.
template <class T>
__device__ __forceinline__ T narrow(float value) {
  constexpr bool kIsBf16 = std::is_same_v<T, bf16>;
  if constexpr (std::is_same_v<T, float>) {
    return value;
  } else {
    T rounded;
#ifdef __CUDA_ARCH__
    if constexpr (kIsBf16) {
      asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(rounded.bits) : "f"(value));
    } else {
      asm("cvt.rn.f16.f32 %0, %1;" : "=h"(rounded.bits) : "f"(value));
    }
#else
    if constexpr (kIsBf16) {
      rounded = to_bf16(value);
    } else {
      rounded = to_f16(value);
    }
#endif
    return rounded;
  }
}

/// Elements that one 16-byte access moves.
template <class T>
inline constexpr int kPackSize = 16 / static_cast<int>(sizeof(T));

/// 16 bytes of elements, in registers or at an address that is a multiple of 16.
template <class T>
struct alignas(16) Pack {
  T values[kPackSize<T>];
};
template <class T>
__device__ __forceinline__ Pack<T> load_pack(const T* from) {
  return *reinterpret_cast<const Pack<T>*>(from);
}
template <class T>
__device__ __forceinline__ void store_pack(T* to, const Pack<T>& pack) {
  *reinterpret_cast<Pack<T>*>(to) = pack;
}

/// Loads as many f32 elements as a pack of T has.
template <class T>
__device__ __forceinline__ void load_floats(const float* from, float (&values)[kPackSize<T>]) {
#pragma unroll
  for (int part = 0; part < kPackSize<T>; part += kPackSize<float>) {
    const Pack<float> pack = load_pack(from + part);
#pragma unroll
    for (int i = 0; i < kPackSize<float>; ++i) values[part + i] = pack.values[i];
  }
}
/// The same rounded to T.
template <class T>
__device__ __forceinline__ Pack<T> load_narrowed(const float* from) {
  float values[kPackSize<T>];
  load_floats<T>(from, values);
  Pack<T> pack;
#pragma unroll
  for (int i = 0; i < kPackSize<T>; ++i) pack.values[i] = narrow<T>(values[i]);
  return pack;
}

}  // namespace simclr::cuda
