// The references of the backward ops against complex-step derivatives of the forward ones.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "backend/op_cases.hpp"
#include "reference/run.hpp"

namespace simclr::testing {

namespace {

using Complex = GradientCase::Complex;

/// d objective / d element, exact to rounding: Im f(x + ih) / h.
double derivative(const GradientCase& test, TensorId input, std::size_t element) {
  constexpr double kStep = 1e-30;
  reference::Memory<Complex> memory(test.program);
  fill_inputs(memory, test.fills);
  memory[input].flat()[element] += Complex(0, kStep);
  reference::run(memory, 0, test.program.backward_begin);
  return test.objective(memory).imag() / kStep;
}

class Gradients : public ::testing::TestWithParam<std::size_t> {};

TEST_P(Gradients, EqualComplexStepDerivatives) {
  const GradientCase& test = gradient_cases()[GetParam()];
  reference::Memory<double> memory(test.program);
  fill_inputs(memory, test.fills);
  reference::run(memory, 0, test.program.ops.size());
  for (const auto& [input, gradient] : test.gradients) {
    const auto got = memory[gradient].flat();
    double largest = 0;
    double worst = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      const double wanted = derivative(test, input, i);
      largest = std::max(largest, std::abs(wanted));
      const double error = std::abs(got[i] - wanted);
      if (!(error <= worst)) worst = error;  // NaN stays
    }
    EXPECT_GT(largest, 0) << test.program.info(input).name;
    EXPECT_LE(worst, 1e-11 * largest) << test.program.info(input).name;
  }
}

INSTANTIATE_TEST_SUITE_P(Reference, Gradients,
                         ::testing::Range<std::size_t>(0, gradient_cases().size()),
                         [](const auto& entry) { return gradient_cases()[entry.param].name; });

}  // namespace

}  // namespace simclr::testing
