#pragma once
// Optimiser updates, parameter by parameter.

#include <cmath>

#include "reference/memory.hpp"

namespace simclr::reference {

/// visit(index of the element, decay) for every element of a parameter.
template <class Visit>
void for_each_element(const ParameterSegment& segment, float weight_decay, Visit&& visit) {
  const double decay = segment.regularised ? weight_decay : 0.0F;
  for (std::int64_t i = segment.offset; i < segment.offset + segment.count; ++i) visit(i, decay);
}

template <class T>
void reference(const LarsUpdate& op, Memory<T>& memory) {
  using std::sqrt;
  const auto w = memory[op.parameters];
  const auto g = memory[op.gradients];
  const auto v = memory[op.momentum];
  const T learning_rate = memory[op.control](0);
  for (const ParameterSegment& segment : op.segments) {
    T of_w(0);
    T of_g(0);
    for_each_element(segment, op.weight_decay, [&](auto i, double decay) {
      const T gradient = g(i) + T(decay) * w(i);
      of_w += w(i) * w(i);
      of_g += gradient * gradient;
    });
    const bool scaled = segment.regularised && real_part(of_w) > 0 && real_part(of_g) > 0;
    const T trust = scaled ? T(op.trust_coefficient) * sqrt(of_w) / sqrt(of_g) : T(1);
    for_each_element(segment, op.weight_decay, [&](auto i, double decay) {
      v(i) = T(op.momentum_factor) * v(i) + learning_rate * trust * (g(i) + T(decay) * w(i));
      w(i) -= v(i);
    });
  }
}

template <class T>
void reference(const SgdUpdate& op, Memory<T>& memory) {
  const auto w = memory[op.parameters];
  const auto v = memory[op.momentum];
  const T momentum(op.momentum_factor);
  for (const ParameterSegment& segment : op.segments)
    for_each_element(segment, op.weight_decay, [&](auto i, double decay) {
      const T gradient = memory[op.gradients](i) + T(decay) * w(i);
      v(i) = momentum * v(i) + gradient;
      w(i) -= memory[op.control](0) * (op.nesterov ? gradient + momentum * v(i) : v(i));
    });
}

template <class T>
void reference(const AdamwUpdate& op, Memory<T>& memory) {
  using std::sqrt;
  const auto w = memory[op.parameters];
  const auto g = memory[op.gradients];
  const auto m = memory[op.momentum];
  const auto v = memory[op.second_moment];
  const auto control = memory[op.control];
  const T beta1(op.beta1);
  const T beta2(op.beta2);
  for (const ParameterSegment& segment : op.segments)
    for_each_element(segment, op.weight_decay, [&](auto i, double decay) {
      w(i) -= control(0) * T(decay) * w(i);
      m(i) = beta1 * m(i) + (T(1) - beta1) * g(i);
      v(i) = beta2 * v(i) + (T(1) - beta2) * g(i) * g(i);
      w(i) -= control(0) * m(i) * control(1) / (sqrt(v(i) * control(2)) + T(op.epsilon));
    });
}

}  // namespace simclr::reference
