// The arithmetic inside the CPU kernels: exponentials and rounding to bf16.

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "backend/cpu/kernels/table.hpp"

namespace simclr {
namespace {

float exp_of(float x) {
  float result = std::numeric_limits<float>::quiet_NaN();
  kernels::table().loss.exp_row(&x, 1, 0, &result);
  return result;
}

TEST(Exponential, IsWithinTwoUnitsInTheLastPlace) {
  std::vector<float> x;
  for (float value = -87; value <= 88; value += 0.0009765F) x.push_back(value);
  std::vector<float> e(x.size(), std::numeric_limits<float>::quiet_NaN());
  const double sum =
      kernels::table().loss.exp_row(x.data(), static_cast<std::int64_t>(x.size()), 0, e.data());
  double worst = 0;
  double wanted_sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double wanted = std::exp(double{x[i]});
    const auto nearest = static_cast<float>(wanted);
    const double unit = std::nextafter(nearest, std::numeric_limits<float>::infinity()) - nearest;
    const double error = std::abs(e[i] - wanted) / unit;
    if (!(error <= worst)) worst = error;  // NaN stays
    wanted_sum += double{e[i]};
  }
  EXPECT_LE(worst, 2);
  EXPECT_EQ(exp_of(0), 1);
  EXPECT_LE(std::abs(sum / wanted_sum - 1), 1e-12);
}

TEST(Exponential, KeepsNaNAndVanishesFarBelowZero) {
  EXPECT_TRUE(std::isnan(exp_of(std::numeric_limits<float>::quiet_NaN())));
  EXPECT_LE(exp_of(-1000), 2e-38F);
  EXPECT_LE(exp_of(-std::numeric_limits<float>::infinity()), 2e-38F);
}

/// Sixteen floats rounded to bf16 by the kernels.
std::array<bf16, 16> rounded(const std::array<float, 16>& values) {
  std::array<bf16, 16> result{};
  kernels::element<bf16>().spread(values.data(), 1, result.data());
  return result;
}

TEST(Bf16, RoundsToNearestEvenAndKeepsNaN) {
  constexpr std::array<std::uint32_t, 8> kLower{0,      1,      0x7FFF, 0x8000,
                                                0x8001, 0xFFFF, 0x4000, 0xC000};
  for (std::uint32_t upper = 0; upper < 0x10000; upper += 2) {
    std::array<float, 16> values{};
    for (std::uint32_t i = 0; i < 16; ++i) {
      values[i] = std::bit_cast<float>(((upper + i / 8) << 16) | kLower[i % 8]);
    }
    const auto got = rounded(values);
    for (std::size_t i = 0; i < 16; ++i) {
      const float wanted = to_float(to_bf16(values[i]));
      const float found = to_float(got[i]);
      if (std::isnan(wanted)) {
        ASSERT_TRUE(std::isnan(found));
      } else if (std::abs(values[i]) < std::numeric_limits<float>::min()) {
        // Subnormal: the processor's own conversion takes it as zero.
        ASSERT_TRUE(found == wanted || found == 0) << values[i];
      } else {
        ASSERT_EQ(found, wanted) << values[i];
      }
    }
  }
}

TEST(Bf16, WidensExactly) {
  for (std::uint32_t upper = 0; upper < 0x10000; upper += 16) {
    std::array<bf16, 16> values{};
    for (std::uint32_t i = 0; i < 16; ++i) values[i].bits = static_cast<std::uint16_t>(upper + i);
    std::array<float, 16> got{};
    kernels::element<bf16>().average(values.data(), 1, 1, 0, got.data());
    for (std::size_t i = 0; i < 16; ++i) {
      const float wanted = to_float(values[i]);
      if (std::isnan(wanted)) {
        ASSERT_TRUE(std::isnan(got[i]));
      } else {
        ASSERT_EQ(got[i], wanted);
      }
    }
  }
}

}  // namespace
}  // namespace simclr
