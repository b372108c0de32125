#pragma once
// Vectors as wide as the instruction set this file is compiled for. Everything lies in a namespace
// of that instruction set and is always inlined, so that no copy of it serves another one.

#include <cstddef>
#include <cstdint>

#include "simclr/core/bf16.hpp"
#include "simclr/core/f16.hpp"
#include "simclr/core/host_device.hpp"

#ifdef __AVX2__
#include <immintrin.h>
#endif

#if defined(__AVX512F__) && defined(__AVX512VL__)
#define SIMCLR_LANES 16
#define SIMCLR_LANES_NAMESPACE lanes16
#elif defined(__AVX2__)
#define SIMCLR_LANES 8
#define SIMCLR_LANES_NAMESPACE lanes8
#else
#define SIMCLR_LANES 4
#define SIMCLR_LANES_NAMESPACE lanes4
#endif

namespace simclr::augment::SIMCLR_LANES_NAMESPACE {

inline constexpr int kLanes = SIMCLR_LANES;
/// Counts and offsets of floats.
using Index = std::ptrdiff_t;
/// Floats of one column of a strip: a vector for each channel.
inline constexpr Index kColumn = Index{3} * kLanes;

using Lanes = float __attribute__((vector_size(kLanes * sizeof(float))));
using IntLanes = std::int32_t __attribute__((vector_size(kLanes * sizeof(std::int32_t))));
using WordLanes = std::uint32_t __attribute__((vector_size(kLanes * sizeof(std::uint32_t))));
using HalfLanes = std::uint16_t __attribute__((vector_size(kLanes * sizeof(std::uint16_t))));
using ByteLanes = std::uint8_t __attribute__((vector_size(kLanes)));

SIMCLR_HD_INLINE Lanes load(const float* from) {
  Lanes lanes;
  __builtin_memcpy(&lanes, from, sizeof lanes);
  return lanes;
}
SIMCLR_HD_INLINE void store(float* to, Lanes lanes) { __builtin_memcpy(to, &lanes, sizeof lanes); }
/// The bits of to_bf16(), for all but NaN.
SIMCLR_HD_INLINE void store(bf16* to, Lanes lanes) {
  const auto bits = (WordLanes)lanes;
  const WordLanes rounded = (bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16;
  const HalfLanes halves = __builtin_convertvector(rounded, HalfLanes);
  __builtin_memcpy(static_cast<void*>(to), &halves, sizeof halves);
}
/// The bits of to_f16(), for all but NaN.
SIMCLR_HD_INLINE void store(f16* to, Lanes lanes) {
#if SIMCLR_LANES == 16
  const auto halves = _mm512_maskz_cvtps_ph(0xFFFF, (__m512)lanes, _MM_FROUND_TO_NEAREST_INT);
#elif SIMCLR_LANES == 8
  const auto halves = _mm256_cvtps_ph((__m256)lanes, _MM_FROUND_TO_NEAREST_INT);
#else
  const auto bits = (WordLanes)lanes;
  const WordLanes magnitude = bits & 0x7FFFFFFFU;
  const WordLanes rebased = magnitude - 0x38000000U;
  const WordLanes normal = (rebased + 0xFFFU + ((rebased >> 13) & 1U)) >> 13;
  const WordLanes subnormal = (WordLanes)((Lanes)magnitude + 0.5F) - 0x3F000000U;
  const WordLanes finite = magnitude >= 0x38800000U ? normal : subnormal;
  const WordLanes half = magnitude >= 0x477FF000U ? WordLanes{} + 0x7C00U : finite;
  const HalfLanes halves = __builtin_convertvector(half | ((bits >> 16) & 0x8000U), HalfLanes);
#endif
  __builtin_memcpy(static_cast<void*>(to), &halves, sizeof halves);
}

SIMCLR_HD_INLINE Lanes to_float(IntLanes lanes) { return __builtin_convertvector(lanes, Lanes); }
/// GCC 12 converts the lanes one by one where it is not told the instruction.
SIMCLR_HD_INLINE Lanes to_float(ByteLanes bytes) {
#if SIMCLR_LANES == 16
  return to_float((IntLanes)_mm512_maskz_cvtepu8_epi32(0xFFFF, (__m128i)bytes));
#elif SIMCLR_LANES == 8
  return to_float((IntLanes)_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((std::int64_t)bytes)));
#else
  return to_float(__builtin_convertvector(bytes, IntLanes));
#endif
}
/// Bytes at `from`, of which `count` (at most kLanes) may be read; the other lanes are zero.
SIMCLR_HD_INLINE Lanes load_bytes(const std::uint8_t* from, int count) {
  ByteLanes bytes{};
  if (count >= kLanes) {
    __builtin_memcpy(&bytes, from, kLanes);
  } else {
    __builtin_memcpy(&bytes, from, static_cast<unsigned>(count));
  }
  return to_float(bytes);
}

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
SIMCLR_HD_INLINE Lanes zip(Lanes a, Lanes b, Indices<I...> /*lanes*/) {
  return __builtin_shufflevector(a, b, (I % 2 * kLanes + Half * kLanes / 2 + I / 2)...);
}

/// Transposes kLanes vectors of kLanes floats: each of log2(kLanes) perfect shuffles of the
/// vectors' sequence moves one bit of the row number into the column number.
SIMCLR_HD_INLINE void transpose(Lanes (&rows)[kLanes]) {
  using All = CountTo<kLanes>::Type;
  for (int bit = 1; bit < kLanes; bit *= 2) {
    Lanes shuffled[kLanes];
    for (Index i = 0; i < kLanes / 2; ++i) {
      shuffled[2 * i] = zip<0>(rows[i], rows[i + kLanes / 2], All{});
      shuffled[2 * i + 1] = zip<1>(rows[i], rows[i + kLanes / 2], All{});
    }
    for (int i = 0; i < kLanes; ++i) rows[i] = shuffled[i];
  }
}

}  // namespace simclr::augment::SIMCLR_LANES_NAMESPACE
