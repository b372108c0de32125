#pragma once
// Optimizer updates, parameter by parameter.

#include <algorithm>
#include <cmath>

#include "reference/memory.hpp"

namespace simclr::reference {

/// visit(index of the element, decay) for every element of a parameter.
template <class Visit>
void for_each_element(const ParameterSegment& segment, float weight_decay, Visit&& visit) {
  const double decay = segment.regularized ? weight_decay : 0.0F;
  for (std::int64_t i = segment.offset; i < segment.offset + segment.count; ++i) visit(i, decay);
}

template <class T>
void reference(const CheckFinite& op, Memory<T>& memory) {
  const auto all_finite = [&](TensorId id) {
    return std::ranges::all_of(memory[id].flat(),
                               [](const T& v) { return std::isfinite(real_part(v)); });
  };
  if (!all_finite(op.loss_sums)) memory[op.verdict](0) = T(1.0);
  if (!all_finite(op.gradients)) memory[op.verdict](1) = T(1.0);
}

/// What the gradient buffer is divided by.
template <class T>
T gradient_divisor(const Update& op, Memory<T>& memory) {
  const T scale = memory[op.control](kControls * op.optimizer + 3);
  if (!op.samples) return scale;
  const T samples = memory[*op.samples](3);
  return scale * (real_part(samples) < 1 ? T(1) : samples);
}

template <class T>
void update(const LarsRule& rule, const Update& op, Memory<T>& memory) {
  using std::sqrt;
  const auto w = memory[op.parameters];
  const auto g = memory[op.gradients];
  const auto v = memory[op.momentum];
  const T learning_rate = memory[op.control](kControls * op.optimizer);
  const T loss_scale = gradient_divisor(op, memory);
  for (const ParameterSegment& segment : op.segments) {
    T of_w(0);
    T of_g(0);
    for_each_element(segment, rule.weight_decay, [&](auto i, double decay) {
      const T gradient = g(i) / loss_scale + T(decay) * w(i);
      of_w += w(i) * w(i);
      of_g += gradient * gradient;
    });
    const bool scaled = segment.regularized && real_part(of_w) > 0 && real_part(of_g) > 0;
    const T trust = scaled ? T(rule.trust_coefficient) * sqrt(of_w) / sqrt(of_g) : T(1);
    for_each_element(segment, rule.weight_decay, [&](auto i, double decay) {
      v(i) =
          T(rule.momentum) * v(i) + learning_rate * trust * (g(i) / loss_scale + T(decay) * w(i));
      w(i) -= v(i);
    });
  }
}

template <class T>
void update(const SgdRule& rule, const Update& op, Memory<T>& memory) {
  const auto w = memory[op.parameters];
  const auto v = memory[op.momentum];
  const T momentum(rule.momentum);
  for (const ParameterSegment& segment : op.segments)
    for_each_element(segment, rule.weight_decay, [&](auto i, double decay) {
      const T gradient = memory[op.gradients](i) / gradient_divisor(op, memory) + T(decay) * w(i);
      v(i) = momentum * v(i) + gradient;
      w(i) -= memory[op.control](kControls * op.optimizer) *
              (rule.nesterov ? gradient + momentum * v(i) : v(i));
    });
}

template <class T>
void update(const AdamwRule& rule, const Update& op, Memory<T>& memory) {
  using std::sqrt;
  const auto w = memory[op.parameters];
  const auto g = memory[op.gradients];
  const auto m = memory[op.momentum];
  const auto v = memory[*op.second_moment];
  const auto control = memory[op.control];
  const T beta1(rule.beta1);
  const T beta2(rule.beta2);
  for (const ParameterSegment& segment : op.segments)
    for_each_element(segment, rule.weight_decay, [&](auto i, double decay) {
      const T gradient = g(i) / control(3);
      w(i) -= control(0) * T(decay) * w(i);
      m(i) = beta1 * m(i) + (T(1) - beta1) * gradient;
      v(i) = beta2 * v(i) + (T(1) - beta2) * gradient * gradient;
      w(i) -= control(0) * m(i) * control(1) / (sqrt(v(i) * control(2)) + T(rule.epsilon));
    });
}

template <class T>
void reference(const Update& op, Memory<T>& memory) {
  const auto refuses = [&](int i) { return op.verdict && real_part(memory[*op.verdict](i)) != 0; };
  if (refuses(0) || refuses(1)) return;
  std::visit([&](const auto& rule) { update(rule, op, memory); }, op.rule);
}

}  // namespace simclr::reference
