#pragma once
// Sixteen float lanes, the channel block of the CPU's activation layout, as one value.

#include "simclr/core/simd.hpp"

namespace simclr::SIMCLR_ISA {

inline constexpr int kLanes = 16;
inline constexpr int kParts = kLanes / kWidth;

struct FloatBlock {
  VecF part[kParts];
};
/// Per lane all ones or zero; also 16 integers.
struct IntBlock {
  VecI part[kParts];
};

#define SIMCLR_LANEWISE(Result, expression)                     \
  Result result;                                                \
  for (int i = 0; i < kParts; ++i) result.part[i] = expression; \
  return result

SIMCLR_HD_INLINE FloatBlock broadcast(float value) { SIMCLR_LANEWISE(FloatBlock, value - VecF{}); }
SIMCLR_HD_INLINE IntBlock broadcast(std::int32_t value) {
  SIMCLR_LANEWISE(IntBlock, value - VecI{});
}
SIMCLR_HD_INLINE FloatBlock operator+(FloatBlock a, FloatBlock b) {
  SIMCLR_LANEWISE(FloatBlock, a.part[i] + b.part[i]);
}
SIMCLR_HD_INLINE FloatBlock operator-(FloatBlock a, FloatBlock b) {
  SIMCLR_LANEWISE(FloatBlock, a.part[i] - b.part[i]);
}
SIMCLR_HD_INLINE FloatBlock operator*(FloatBlock a, FloatBlock b) {
  SIMCLR_LANEWISE(FloatBlock, a.part[i] * b.part[i]);
}
SIMCLR_HD_INLINE IntBlock operator>(FloatBlock a, FloatBlock b) {
  SIMCLR_LANEWISE(IntBlock, a.part[i] > b.part[i]);
}
SIMCLR_HD_INLINE IntBlock operator<(FloatBlock a, FloatBlock b) {
  SIMCLR_LANEWISE(IntBlock, a.part[i] < b.part[i]);
}
SIMCLR_HD_INLINE IntBlock operator!=(FloatBlock a, FloatBlock b) {
  SIMCLR_LANEWISE(IntBlock, a.part[i] != b.part[i]);
}
SIMCLR_HD_INLINE IntBlock operator==(IntBlock a, IntBlock b) {
  SIMCLR_LANEWISE(IntBlock, a.part[i] == b.part[i]);
}
SIMCLR_HD_INLINE IntBlock operator|(IntBlock a, IntBlock b) {
  SIMCLR_LANEWISE(IntBlock, a.part[i] | b.part[i]);
}
SIMCLR_HD_INLINE FloatBlock select(IntBlock mask, FloatBlock a, FloatBlock b) {
  SIMCLR_LANEWISE(FloatBlock, mask.part[i] ? a.part[i] : b.part[i]);
}
SIMCLR_HD_INLINE IntBlock select(IntBlock mask, IntBlock a, IntBlock b) {
  SIMCLR_LANEWISE(IntBlock, mask.part[i] ? a.part[i] : b.part[i]);
}
/// max(a, 0) that keeps NaN.
SIMCLR_HD_INLINE FloatBlock relu(FloatBlock a) {
  return select(a < broadcast(0.0F), broadcast(0.0F), a);
}
/// a where the mask is set, else 0. `a` is loaded in any case: a load under a mask that itself
/// hangs on a load runs at a third of the memory's speed (measured on Zen 5).
SIMCLR_HD_INLINE FloatBlock keep_where(IntBlock mask, FloatBlock a) {
#if defined(__AVX512F__)
  asm("" : "+v"(a.part[0]));
#endif
  return select(mask, a, broadcast(0.0F));
}

#undef SIMCLR_LANEWISE

template <class T>
SIMCLR_HD_INLINE FloatBlock load_block(const T* from) {
  FloatBlock result;
  for (int i = 0; i < kParts; ++i) result.part[i] = load(from + i * kWidth);
  return result;
}
SIMCLR_HD_INLINE IntBlock load_block(const std::uint8_t* from) {
  IntBlock result;
  for (int i = 0; i < kParts; ++i) {
    result.part[i] = __builtin_convertvector(load_vector<VecB>(from + i * kWidth), VecI);
  }
  return result;
}
template <class T>
SIMCLR_HD_INLINE void store(T* to, FloatBlock value) {
  for (int i = 0; i < kParts; ++i) store(to + i * kWidth, value.part[i]);
}
#if defined(__AVX512BF16__)
/// The processor's conversion: subnormals become zero.
SIMCLR_HD_INLINE void store(bf16* to, FloatBlock value) {
  store_vector(to, _mm512_cvtneps_pbh((__m512)value.part[0]));
}
#endif
SIMCLR_HD_INLINE void store(std::uint8_t* to, IntBlock value) {
  for (int i = 0; i < kParts; ++i) {
    store_vector(to + i * kWidth, __builtin_convertvector(value.part[i], VecB));
  }
}

/// to[lane] += value[lane], in double.
SIMCLR_HD_INLINE void add_to(double* to, FloatBlock value) {
  for (int i = 0; i < kParts; ++i) {
    for (int lane = 0; lane < kWidth; ++lane) {
      to[i * kWidth + lane] += static_cast<double>(value.part[i][lane]);
    }
  }
}

}  // namespace simclr::SIMCLR_ISA
