#pragma once
// Linear layers: y[v,k] = sum over c of x[v,c] w[k,c] (+ bias[k]), and their gradients.

#include "reference/memory.hpp"

namespace simclr::reference {

/// Weights (K,C) or (K,1,1,C) as (K,C).
template <class T>
Values<T> as_matrix(const Values<T>& weights) {
  const std::int64_t rows = weights.extent(0);
  return {weights.flat(), {rows, weights.shape().elements() / rows}};
}

template <class T>
void reference(const MatMul& op, Memory<T>& memory) {
  const auto x = memory[op.x];
  const auto w = as_matrix(memory[op.w]);
  const auto y = memory[op.y];
  for (std::int64_t v = 0; v < y.extent(0); ++v)
    for (std::int64_t k = 0; k < y.extent(1); ++k) {
      T sum = op.bias ? memory[*op.bias](k) : T(0);
      for (std::int64_t c = 0; c < x.extent(1); ++c) sum += x(v, c) * w(k, c);
      y(v, k) = sum;
    }
}

template <class T>
void reference(const MatMulBackwardData& op, Memory<T>& memory) {
  const auto dy = memory[op.dy];
  const auto w = as_matrix(memory[op.w]);
  const auto dx = memory[op.dx];
  for (std::int64_t v = 0; v < dx.extent(0); ++v)
    for (std::int64_t c = 0; c < dx.extent(1); ++c) {
      T sum(0);
      for (std::int64_t k = 0; k < dy.extent(1); ++k) sum += dy(v, k) * w(k, c);
      dx(v, c) = sum;
    }
}

template <class T>
void reference(const MatMulBackwardWeights& op, Memory<T>& memory) {
  const auto x = memory[op.x];
  const auto dy = memory[op.dy];
  const auto dw = as_matrix(memory[op.dw]);
  for (std::int64_t k = 0; k < dw.extent(0); ++k) {
    for (std::int64_t c = 0; c < dw.extent(1); ++c) {
      T sum(0);
      for (std::int64_t v = 0; v < dy.extent(0); ++v) sum += dy(v, k) * x(v, c);
      dw(k, c) = sum;
    }
    if (op.dbias) {
      T sum(0);
      for (std::int64_t v = 0; v < dy.extent(0); ++v) sum += dy(v, k);
      memory[*op.dbias](k) = sum;
    }
  }
}

}  // namespace simclr::reference
