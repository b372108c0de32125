#pragma once
// Compares the backward pass of whole programs with the complex step (Martins, Sturdza, Alonso
// 2003): with parameters w + i h d, Im(loss)/h is the derivative along d to the precision of
// double.

#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <string>
#include <vector>

#include "reference/run.hpp"
#include "step.hpp"

namespace simclr::test {

/// Fixed inputs and parameters. `labels`: the values of the tensor "labels", if there is one.
template <class T>
void set_inputs(const Program& program, const std::vector<float>& labels,
                reference::Memory<T>& memory) {
  const std::vector<float> parameters = lively_parameters(program);
  const auto copy = [&](TensorId id, const std::vector<float>& from, std::int64_t offset) {
    auto i = static_cast<std::size_t>(offset);
    for (T& value : memory[id].flat()) value = T(static_cast<double>(from[i++]));
  };
  for (const Parameter& p : program.parameters) {
    copy(p.value, parameters, program.info(p.value).offset);
  }
  for (const RunningStatistic& r : program.running) {
    for (T& value : memory[r.value].flat()) value = T(static_cast<double>(r.initial));
  }
  const TensorId views = program.at("views");
  copy(views, fixed_views(program.info(views).shape.elements()), 0);
  copy(program.at("control"), {0.1F, 1, 1, 1}, 0);
  if (!labels.empty()) copy(program.at("labels"), labels, 0);
}

inline std::vector<double> random_direction(std::size_t count, std::uint32_t index) {
  PhiloxStream stream(17, RandomPurpose::kInitialization, index, 1);
  std::vector<double> direction(count);
  for (double& d : direction) d = stream.uniform(-1, 1);
  return direction;
}

/// Expects that the gradient of sums[0], divided by the number of views, along a random direction
/// of every trained parameter is what the complex step says, and not zero.
inline void expect_gradients_along_every_parameter(const Program& program,
                                                   const std::vector<float>& labels = {}) {
  using Complex = std::complex<double>;
  constexpr double kStep = 1e-30;
  const double loss_scale = 1.0 / static_cast<double>(program.info(program.at("views")).shape[0]);
  reference::Memory<double> exact(program);
  set_inputs(program, labels, exact);
  reference::run(exact, 0, program.update_begin);

  for (std::size_t k = 0; k < program.parameters.size(); ++k) {
    const Parameter& parameter = program.parameters[k];
    if (!parameter.trained()) continue;
    const auto gradient = exact[parameter.gradient].flat();
    const auto direction = random_direction(gradient.size(), static_cast<std::uint32_t>(k));
    reference::Memory<Complex> stepped(program);
    set_inputs(program, labels, stepped);
    const auto values = stepped[parameter.value].flat();
    double along = 0;
    double scale = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] += Complex(0, kStep * direction[i]);
      along += gradient[i] * direction[i];
      scale += std::abs(gradient[i] * direction[i]);
    }
    reference::run(stepped, 0, program.backward_begin);
    const Complex loss = stepped[program.at("sums")].flat()[0] * loss_scale;
    const double expected = loss.imag() / kStep;
    EXPECT_LE(std::abs(along - expected), 1e-9 * scale + 1e-13) << parameter.name;
    EXPECT_GT(scale, 0) << parameter.name << " has a zero gradient";
  }
}

}  // namespace simclr::test
