#include "lbfgs.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "simclr/core/check.hpp"

namespace simclr {
namespace {

TEST(Lbfgs, FindsTheMinimumOfAnIllConditionedQuadratic) {
  // f = 1/2 sum_i c_i (x_i - i)^2 with c from 1 to 100.
  constexpr int kSize = 20;
  const auto curvature = [](int i) { return std::pow(10.0, 2.0 * i / (kSize - 1)); };
  const Function quadratic = [&](std::span<const double> x, std::span<double> gradient) {
    double value = 0;
    for (int i = 0; i < kSize; ++i) {
      gradient[i] = curvature(i) * (x[i] - i);
      value += gradient[i] * (x[i] - i) / 2;
    }
    return value;
  };
  const auto result = minimize_lbfgs(quadratic, std::vector<double>(kSize, 0.5),
                                     {.gradient_tolerance = 1e-8, .relative_noise = 0});
  EXPECT_TRUE(result.converged) << result.iterations << " iterations, gradient "
                                << result.gradient_maximum;
  for (int i = 0; i < kSize; ++i) EXPECT_NEAR(result.point[i], i, 1e-7);
}

TEST(Lbfgs, FindsTheMinimumOfACurvedValley) {
  const Function rosenbrock = [](std::span<const double> x, std::span<double> gradient) {
    const double valley = x[1] - x[0] * x[0];
    gradient[0] = -400 * x[0] * valley - 2 * (1 - x[0]);
    gradient[1] = 200 * valley;
    return 100 * valley * valley + (1 - x[0]) * (1 - x[0]);
  };
  const auto result = minimize_lbfgs(rosenbrock, {-1.2, 1.0}, {.gradient_tolerance = 1e-7});
  EXPECT_TRUE(result.converged);
  EXPECT_NEAR(result.point[0], 1, 1e-6);
  EXPECT_NEAR(result.point[1], 1, 1e-6);
}

TEST(Lbfgs, ReportsThatItStoppedEarly) {
  const Function square = [](std::span<const double> x, std::span<double> gradient) {
    gradient[0] = 4 * x[0] * x[0] * x[0];
    return x[0] * x[0] * x[0] * x[0];
  };
  const auto result = minimize_lbfgs(square, {3}, {.max_iterations = 2});
  EXPECT_FALSE(result.converged);
  EXPECT_EQ(result.iterations, 2);
}

TEST(Lbfgs, FailsOnANonFiniteObjective) {
  const Function broken = [](std::span<const double>, std::span<double> gradient) {
    gradient[0] = std::numeric_limits<double>::quiet_NaN();
    return 1.0;
  };
  EXPECT_THROW(minimize_lbfgs(broken, {1}, {}), Error);
}

}  // namespace
}  // namespace simclr
