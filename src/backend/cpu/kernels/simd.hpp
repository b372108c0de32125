#pragma once
// Sixteen float lanes, the channel block of the CPU's activation layout, as one value.
//
// Every file that includes this header is compiled once per instruction set, in the namespace
// SIMCLR_ISA and with its own -march. Nothing here may be emitted out of line under a name that two
// instruction sets share, hence: always inline, and no standard library templates.

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include <cstdint>

#include "simclr/core/bf16.hpp"

#ifndef SIMCLR_ISA
#error "kernel sources are compiled with SIMCLR_ISA set to their namespace"
#endif

#define SIMCLR_INLINE [[gnu::always_inline]] inline

namespace simclr::SIMCLR_ISA {

#if defined(__AVX512F__)
inline constexpr int kWidth = 16;
#elif defined(__AVX__)
inline constexpr int kWidth = 8;
#else
inline constexpr int kWidth = 4;
#endif
inline constexpr int kLanes = 16;
inline constexpr int kParts = kLanes / kWidth;

using VecF = float __attribute__((vector_size(kWidth * 4)));
using VecI = std::int32_t __attribute__((vector_size(kWidth * 4)));
using VecU = std::uint32_t __attribute__((vector_size(kWidth * 4)));
using VecH = std::uint16_t __attribute__((vector_size(kWidth * 2)));
using VecB = std::uint8_t __attribute__((vector_size(kWidth)));

struct F16 {
  VecF part[kParts];
};
/// Per lane all ones or zero; also 16 integers.
struct I16 {
  VecI part[kParts];
};

// ---- lane-wise operations -----------------------------------------------------------------------

#define SIMCLR_LANEWISE(Result, expression)                     \
  Result result;                                                \
  for (int i = 0; i < kParts; ++i) result.part[i] = expression; \
  return result

SIMCLR_INLINE F16 broadcast(float value) { SIMCLR_LANEWISE(F16, value - VecF{}); }
SIMCLR_INLINE I16 broadcast(std::int32_t value) { SIMCLR_LANEWISE(I16, value - VecI{}); }
SIMCLR_INLINE F16 operator+(F16 a, F16 b) { SIMCLR_LANEWISE(F16, a.part[i] + b.part[i]); }
SIMCLR_INLINE F16 operator-(F16 a, F16 b) { SIMCLR_LANEWISE(F16, a.part[i] - b.part[i]); }
SIMCLR_INLINE F16 operator*(F16 a, F16 b) { SIMCLR_LANEWISE(F16, a.part[i] * b.part[i]); }
SIMCLR_INLINE I16 operator>(F16 a, F16 b) { SIMCLR_LANEWISE(I16, a.part[i] > b.part[i]); }
SIMCLR_INLINE I16 operator<(F16 a, F16 b) { SIMCLR_LANEWISE(I16, a.part[i] < b.part[i]); }
SIMCLR_INLINE I16 operator!=(F16 a, F16 b) { SIMCLR_LANEWISE(I16, a.part[i] != b.part[i]); }
SIMCLR_INLINE I16 operator==(I16 a, I16 b) { SIMCLR_LANEWISE(I16, a.part[i] == b.part[i]); }
SIMCLR_INLINE I16 operator|(I16 a, I16 b) { SIMCLR_LANEWISE(I16, a.part[i] | b.part[i]); }
SIMCLR_INLINE F16 select(I16 mask, F16 a, F16 b) {
  SIMCLR_LANEWISE(F16, mask.part[i] ? a.part[i] : b.part[i]);
}
SIMCLR_INLINE I16 select(I16 mask, I16 a, I16 b) {
  SIMCLR_LANEWISE(I16, mask.part[i] ? a.part[i] : b.part[i]);
}
/// max(a, 0) that keeps NaN.
SIMCLR_INLINE F16 relu(F16 a) { return select(a < broadcast(0.0F), broadcast(0.0F), a); }
/// a where the mask is set, else 0. `a` is loaded in any case: a load under a mask that itself
/// hangs on a load runs at a third of the memory's speed (measured on Zen 5).
SIMCLR_INLINE F16 keep_where(I16 mask, F16 a) {
#if defined(__AVX512F__)
  asm("" : "+v"(a.part[0]));
#endif
  return select(mask, a, broadcast(0.0F));
}

#undef SIMCLR_LANEWISE

// ---- memory
// ---------------------------------------------------------------------------------------

template <class Vec, class T>
SIMCLR_INLINE Vec load_vector(const T* from) {
  Vec value;
  __builtin_memcpy(&value, static_cast<const void*>(from), sizeof value);
  return value;
}
template <class Vec, class T>
SIMCLR_INLINE void store_vector(T* to, Vec value) {
  __builtin_memcpy(static_cast<void*>(to), &value, sizeof value);
}

SIMCLR_INLINE F16 load(const float* from) {
  F16 result;
  for (int i = 0; i < kParts; ++i) result.part[i] = load_vector<VecF>(from + i * kWidth);
  return result;
}
SIMCLR_INLINE void store(float* to, F16 value) {
  for (int i = 0; i < kParts; ++i) store_vector(to + i * kWidth, value.part[i]);
}

/// Each to 32 bits. GCC 12 makes six instructions of __builtin_convertvector here.
SIMCLR_INLINE VecU widen(VecH value) {
#if defined(__AVX512F__)
  // With a mask of all ones: the plain form warns of an uninitialised value inside GCC 12.
  return reinterpret_cast<VecU>(
      _mm512_maskz_cvtepu16_epi32(0xFFFF, reinterpret_cast<__m256i>(value)));
#elif defined(__AVX2__)
  return reinterpret_cast<VecU>(_mm256_cvtepu16_epi32(reinterpret_cast<__m128i>(value)));
#else
  return __builtin_convertvector(value, VecU);
#endif
}
SIMCLR_INLINE F16 load(const bf16* from) {
  F16 result;
  for (int i = 0; i < kParts; ++i) {
    const VecU bits = widen(load_vector<VecH>(from + i * kWidth)) << 16;
    __builtin_memcpy(&result.part[i], &bits, sizeof bits);
  }
  return result;
}
/// Rounds to nearest even; NaN stays NaN. The same bits as to_bf16, but for subnormals where the
/// instruction set has a conversion (it takes them as zero).
SIMCLR_INLINE void store(bf16* to, F16 value) {
#if defined(__AVX512BF16__)
  store_vector(to, _mm512_cvtneps_pbh(value.part[0]));
#else
  for (int i = 0; i < kParts; ++i) {
    VecU bits;
    __builtin_memcpy(&bits, &value.part[i], sizeof bits);
    const VecU rounded = bits + 0x7FFFU + ((bits >> 16) & 1U);
    const VecU quiet_nan = bits | 0x400000U;
    const VecU chosen = (value.part[i] != value.part[i]) ? quiet_nan : rounded;
    store_vector(to + i * kWidth, __builtin_convertvector(chosen >> 16, VecH));
  }
#endif
}

SIMCLR_INLINE void store(std::uint8_t* to, I16 value) {
  for (int i = 0; i < kParts; ++i) {
    store_vector(to + i * kWidth, __builtin_convertvector(value.part[i], VecB));
  }
}
SIMCLR_INLINE I16 load(const std::uint8_t* from) {
  I16 result;
  for (int i = 0; i < kParts; ++i) {
    result.part[i] = __builtin_convertvector(load_vector<VecB>(from + i * kWidth), VecI);
  }
  return result;
}

/// to[lane] += value[lane], in double.
SIMCLR_INLINE void add_to(double* to, F16 value) {
  for (int i = 0; i < kParts; ++i) {
    for (int lane = 0; lane < kWidth; ++lane) {
      to[i * kWidth + lane] += static_cast<double>(value.part[i][lane]);
    }
  }
}

}  // namespace simclr::SIMCLR_ISA
