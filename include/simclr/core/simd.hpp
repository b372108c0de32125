#pragma once
// Vectors as wide as those of the instruction set that the including file is compiled for.
//
// Kernel sources are compiled once for each instruction set (simclr_kernels() in
// cmake/SimclrTargets.cmake), each time with that set's -march and into its namespace, SIMCLR_ISA;
// instruction_set.hpp chooses at run time. Nothing here may be emitted out of line under a name
// that two sets share, hence: always inline, and no templates of the standard library.

#include <cstddef>
#include <cstdint>

#include "simclr/core/bf16.hpp"
#include "simclr/core/f16.hpp"
#include "simclr/core/host_device.hpp"

#ifdef __AVX2__
#include <immintrin.h>
#endif

#ifndef SIMCLR_ISA
#error "kernel sources are compiled with SIMCLR_ISA set to their namespace"
#endif

namespace simclr::SIMCLR_ISA {

/// Floats of a vector.
#if defined(__AVX512F__)
inline constexpr int kWidth = 16;
#elif defined(__AVX2__)
inline constexpr int kWidth = 8;
#else
inline constexpr int kWidth = 4;
#endif
/// Counts and offsets of floats.
using Index = std::ptrdiff_t;

using VecF = float __attribute__((vector_size(kWidth * 4)));
using VecI = std::int32_t __attribute__((vector_size(kWidth * 4)));
using VecU = std::uint32_t __attribute__((vector_size(kWidth * 4)));
using VecH = std::uint16_t __attribute__((vector_size(kWidth * 2)));
using VecB = std::uint8_t __attribute__((vector_size(kWidth)));

// ---- memory -------------------------------------------------------------------------------------

template <class Vec, class T>
SIMCLR_HD_INLINE Vec load_vector(const T* from) {
  Vec value;
  __builtin_memcpy(&value, static_cast<const void*>(from), sizeof value);
  return value;
}
template <class T, class Vec>
SIMCLR_HD_INLINE void store_vector(T* to, Vec value) {
  __builtin_memcpy(static_cast<void*>(to), &value, sizeof value);
}

/// Each to 32 bits. GCC 12 makes six instructions of __builtin_convertvector here.
SIMCLR_HD_INLINE VecU widen(VecH value) {
#if defined(__AVX512F__)
  // With a mask of all ones: the plain form warns of an uninitialized value inside GCC 12.
  return (VecU)_mm512_maskz_cvtepu16_epi32(0xFFFF, (__m256i)value);
#elif defined(__AVX2__)
  return (VecU)_mm256_cvtepu16_epi32((__m128i)value);
#else
  return __builtin_convertvector(value, VecU);
#endif
}

SIMCLR_HD_INLINE VecF load(const float* from) { return load_vector<VecF>(from); }
SIMCLR_HD_INLINE VecF load(const bf16* from) {
  return (VecF)(widen(load_vector<VecH>(from)) << 16);
}
SIMCLR_HD_INLINE void store(float* to, VecF value) { store_vector(to, value); }
/// The bits of to_bf16(); of NaN, where the compiler is told that there is none, any.
SIMCLR_HD_INLINE void store(bf16* to, VecF value) {
  const auto bits = (VecU)value;
  const VecU rounded = bits + 0x7FFFU + ((bits >> 16) & 1U);
  const VecU quiet_nan = bits | 0x400000U;
  const VecU chosen = value != value ? quiet_nan : rounded;
  store_vector(to, __builtin_convertvector(chosen >> 16, VecH));
}
/// The bits of to_f16(), for all but NaN.
SIMCLR_HD_INLINE void store(f16* to, VecF value) {
#if defined(__AVX512F__)
  store_vector(to, _mm512_maskz_cvtps_ph(0xFFFF, (__m512)value, _MM_FROUND_TO_NEAREST_INT));
#elif defined(__AVX2__)
  store_vector(to, _mm256_cvtps_ph((__m256)value, _MM_FROUND_TO_NEAREST_INT));
#else
  const auto bits = (VecU)value;
  const VecU magnitude = bits & 0x7FFFFFFFU;
  const VecU rebased = magnitude - 0x38000000U;
  const VecU normal = (rebased + 0xFFFU + ((rebased >> 13) & 1U)) >> 13;
  const VecU subnormal = (VecU)((VecF)magnitude + 0.5F) - 0x3F000000U;
  const VecU finite = magnitude >= 0x38800000U ? normal : subnormal;
  const VecU half = magnitude >= 0x477FF000U ? VecU{} + 0x7C00U : finite;
  store_vector(to, __builtin_convertvector(half | ((bits >> 16) & 0x8000U), VecH));
#endif
}

// ---- bytes --------------------------------------------------------------------------------------

SIMCLR_HD_INLINE VecF to_float(VecI value) { return __builtin_convertvector(value, VecF); }
/// GCC 12 converts the lanes one by one where it is not told the instruction.
SIMCLR_HD_INLINE VecF to_float(VecB value) {
#if defined(__AVX512F__)
  return to_float((VecI)_mm512_maskz_cvtepu8_epi32(0xFFFF, (__m128i)value));
#elif defined(__AVX2__)
  return to_float((VecI)_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((std::int64_t)value)));
#else
  return to_float(__builtin_convertvector(value, VecI));
#endif
}
/// Bytes at `from`, of which `count` (at most kWidth) may be read; the other lanes are zero.
SIMCLR_HD_INLINE VecF load_bytes(const std::uint8_t* from, int count) {
  VecB bytes{};
  if (count >= kWidth) {
    __builtin_memcpy(&bytes, from, kWidth);
  } else {
    __builtin_memcpy(&bytes, from, static_cast<unsigned>(count));
  }
  return to_float(bytes);
}

// ---- arithmetic ---------------------------------------------------------------------------------

/// 0, 1, 2, ...
SIMCLR_HD_INLINE VecI lane_numbers() {
  VecI lanes;
  for (int i = 0; i < kWidth; ++i) lanes[i] = i;
  return lanes;
}

SIMCLR_HD_INLINE VecF square_root(VecF value) {
#if defined(__AVX512F__)
  return (VecF)_mm512_maskz_sqrt_ps(0xFFFF, (__m512)value);
#elif defined(__AVX2__)
  return (VecF)_mm256_sqrt_ps((__m256)value);
#else
  for (int i = 0; i < kWidth; ++i) value[i] = __builtin_sqrtf(value[i]);
  return value;
#endif
}

/// table[index], lane by lane.
SIMCLR_HD_INLINE VecF gather(const float* table, VecI index) {
#if defined(__AVX512F__)
  return (VecF)_mm512_mask_i32gather_ps(_mm512_setzero_ps(), 0xFFFF, (__m512i)index, table, 4);
#elif defined(__AVX2__)
  return (VecF)_mm256_i32gather_ps(table, (__m256i)index, 4);
#else
  VecF values;
  for (int i = 0; i < kWidth; ++i) values[i] = table[index[i]];
  return values;
#endif
}

/// The lower and upper 32 bits of products.
struct WideProduct {
  VecU low, high;
};
SIMCLR_HD_INLINE WideProduct multiply_wide(VecU a, std::uint32_t b) {
  const VecU low = a * b;
  // Products of 64 bits of the even lanes and of the odd ones.
#if defined(__AVX512F__)
  const __m512i factor = _mm512_set1_epi32((int)b);
  const __m512i even = _mm512_maskz_mul_epu32(0xFF, (__m512i)a, factor);
  const __m512i odd =
      _mm512_maskz_mul_epu32(0xFF, _mm512_maskz_srli_epi64(0xFF, (__m512i)a, 32), factor);
  const __m512i shifted = _mm512_maskz_srli_epi64(0xFF, even, 32);
  return {low, (VecU)_mm512_mask_mov_epi32(shifted, 0xAAAA, odd)};
#elif defined(__AVX2__)
  const __m256i factor = _mm256_set1_epi32((int)b);
  const __m256i even = _mm256_mul_epu32((__m256i)a, factor);
  const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64((__m256i)a, 32), factor);
  return {low, (VecU)_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA)};
#else
  VecU high;
  for (int i = 0; i < kWidth; ++i) {
    high[i] = static_cast<std::uint32_t>((std::uint64_t{a[i]} * b) >> 32);
  }
  return {low, high};
#endif
}

// ---- transposition ------------------------------------------------------------------------------

template <int... I>
struct Indices {};
template <int N, int... I>
struct CountTo : CountTo<N - 1, N - 1, I...> {};
template <int... I>
struct CountTo<0, I...> {
  using Type = Indices<I...>;
};

/// a0 b0 a1 b1 ... from the lower (Half = 0) or upper (Half = 1) halves of a and b.
template <int Half, int... I>
SIMCLR_HD_INLINE VecF zip(VecF a, VecF b, Indices<I...> /*lanes*/) {
  return __builtin_shufflevector(a, b, (I % 2 * kWidth + Half * kWidth / 2 + I / 2)...);
}

/// Transposes kWidth vectors of kWidth floats: each of log2(kWidth) perfect shuffles of the
/// vectors' sequence moves one bit of the row number into the column number.
SIMCLR_HD_INLINE void transpose(VecF (&rows)[kWidth]) {
  using All = CountTo<kWidth>::Type;
  for (int bit = 1; bit < kWidth; bit *= 2) {
    VecF shuffled[kWidth];
    for (Index i = 0; i < kWidth / 2; ++i) {
      shuffled[2 * i] = zip<0>(rows[i], rows[i + kWidth / 2], All{});
      shuffled[2 * i + 1] = zip<1>(rows[i], rows[i + kWidth / 2], All{});
    }
    for (int i = 0; i < kWidth; ++i) rows[i] = shuffled[i];
  }
}

}  // namespace simclr::SIMCLR_ISA
