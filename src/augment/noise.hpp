#pragma once
// Normally distributed noise, a pixel in each lane of a vector: Philox 4x32-10 (core/random.hpp)
// and the transformation of Box and Muller.

#include "simclr/core/simd.hpp"
#include "strips.hpp"

namespace simclr::SIMCLR_ISA {

struct PhiloxLanes {
  VecU word[4];
};

/// philox4x32() with another first counter word in each lane.
SIMCLR_HD_INLINE PhiloxLanes philox_lanes(const NoiseStream& stream, VecU block) {
  const VecU zero{};
  PhiloxLanes counter = {{block, zero + stream.purpose, zero + stream.a, zero + stream.b}};
  auto k0 = static_cast<std::uint32_t>(stream.seed);
  auto k1 = static_cast<std::uint32_t>(stream.seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const WideProduct p0 = multiply_wide(counter.word[0], 0xD2511F53U);
    const WideProduct p1 = multiply_wide(counter.word[2], 0xCD9E8D57U);
    counter = {{p1.high ^ counter.word[1] ^ k0, p1.low, p0.high ^ counter.word[3] ^ k1, p0.low}};
    k0 += 0x9E3779B9U;
    k1 += 0xBB67AE85U;
  }
  return counter;
}

/// 24 random bits as a whole number, exact in a float.
SIMCLR_HD_INLINE VecF upper_bits(VecU bits) { return to_float((VecI)(bits >> 8)); }

/// ln x for normal x > 0: x = m 2^e with m between the roots of 1/2 and 2, and
/// ln m = 2 atanh((m-1)/(m+1)), whose series ends below float's resolution.
SIMCLR_HD_INLINE VecF logarithm(VecF x) {
  constexpr std::int32_t kRootOfHalf = 0x3F3504F3;
  constexpr float kLn2 = 0.693147181F;
  const VecI exponent = ((VecI)x - kRootOfHalf) >> 23;
  const auto m = (VecF)((VecI)x - (exponent << 23));
  const VecF s = (m - 1.0F) / (m + 1.0F);
  const VecF q = s * s;
  const VecF series = 1.0F + q * (1.0F / 3 + q * (1.0F / 5 + q * (1.0F / 7 + q * (1.0F / 9))));
  return to_float(exponent) * kLn2 + 2.0F * s * series;
}

struct SinCos {
  VecF sin, cos;
};
/// Returns sine and cosine of `turns` full circles, 0 <= turns <= 1: Taylor's series up to an
/// eighth of a circle from the nearest quarter.
SIMCLR_HD_INLINE SinCos sin_cos_of_turns(VecF turns) {
  const VecI quarter = __builtin_convertvector(4.0F * turns + 0.5F, VecI);
  const VecF angle = (turns - 0.25F * to_float(quarter)) * 6.28318531F;
  const VecF q = angle * angle;
  const VecF sin =
      angle * (1.0F - q * (1.0F / 6 - q * (1.0F / 120 - q * (1.0F / 5040 - q * (1.0F / 362880)))));
  const VecF cos =
      1.0F - q * (0.5F - q * (1.0F / 24 - q * (1.0F / 720 - q * (1.0F / 40320 - q / 3628800))));
  const VecI odd = quarter & 1;
  const VecF s = odd == 1 ? cos : sin;
  const VecF c = odd == 1 ? sin : cos;
  return {(quarter & 2) == 2 ? -s : s, ((quarter + 1) & 2) == 2 ? -c : c};
}

/// Two independent numbers N(0, 1) from two random words.
struct Normals {
  VecF first, second;
};
SIMCLR_HD_INLINE Normals normals(VecU a, VecU b) {
  constexpr float kUnit = 0x1.0p-24F;
  const VecF uniform = (upper_bits(a) + 1.0F) * kUnit;  // above 0, at most 1
  const VecF radius = square_root(-2.0F * logarithm(uniform));
  const SinCos angle = sin_cos_of_turns(upper_bits(b) * kUnit);
  return {radius * angle.cos, radius * angle.sin};
}

/// Adds sigma N(0, 1) to every channel. Pixel i takes block i + 1 of the stream: red and green from
/// the first two words, blue from the others.
SIMCLR_HD_INLINE Rgb<VecF> add_noise(Rgb<VecF> p, const NoiseStream& stream, VecU pixel,
                                     float sigma) {
  const PhiloxLanes bits = philox_lanes(stream, pixel + 1U);
  const Normals of_red_green = normals(bits.word[0], bits.word[1]);
  const Normals of_blue = normals(bits.word[2], bits.word[3]);
  return clamp01(Rgb<VecF>{p.r + sigma * of_red_green.first, p.g + sigma * of_red_green.second,
                           p.b + sigma * of_blue.first});
}

}  // namespace simclr::SIMCLR_ISA
