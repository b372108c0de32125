#pragma once
// Elements of tensors in kernels: conversion to f32 and back, and 16-byte vectors of them.

#include <cuda_runtime.h>

#include <cstdint>

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
__device__ T narrow(float value);
template <>
__device__ __forceinline__ float narrow<float>(float value) {
  return value;
}
template <>
__device__ __forceinline__ bf16 narrow<bf16>(float value) {
#ifdef __CUDA_ARCH__
  bf16 rounded;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(rounded.bits) : "f"(value));
  return rounded;
#else
  return to_bf16(value);
#endif
}
template <>
__device__ __forceinline__ f16 narrow<f16>(float value) {
#ifdef __CUDA_ARCH__
  f16 rounded;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(rounded.bits) : "f"(value));
  return rounded;
#else
  return to_f16(value);
#endif
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

}  // namespace simclr::cuda
