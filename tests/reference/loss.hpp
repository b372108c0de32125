#pragma once
// L2 normalization, NT-Xent over the whole similarity matrix, softmax cross-entropy.

#include <algorithm>
#include <cmath>

#include "reference/memory.hpp"

namespace simclr::reference {

template <class T>
void reference(const L2Normalize& op, Memory<T>& memory) {
  using std::sqrt;
  const auto z = memory[op.z];
  for (std::int64_t v = 0; v < z.extent(0); ++v) {
    T square(0);
    for (std::int64_t d = 0; d < z.extent(1); ++d) square += z(v, d) * z(v, d);
    const T norm = sqrt(square);
    const T inverse = T(1) / (real_part(norm) < 1e-12 ? T(1e-12) : norm);
    for (std::int64_t d = 0; d < z.extent(1); ++d) memory[op.u](v, d) = z(v, d) * inverse;
    memory[op.inverse_norm](v) = inverse;
  }
}

template <class T>
void reference(const L2NormalizeBackward& op, Memory<T>& memory) {
  const auto u = memory[op.u];
  const auto du = memory[op.du];
  for (std::int64_t v = 0; v < u.extent(0); ++v) {
    T along(0);
    for (std::int64_t d = 0; d < u.extent(1); ++d) along += u(v, d) * du(v, d);
    for (std::int64_t d = 0; d < u.extent(1); ++d)
      memory[op.dz](v, d) = (du(v, d) - u(v, d) * along) * memory[op.inverse_norm](v);
  }
}

/// The logit s_ij / T of row i of `a` and row j of `b`.
template <class T>
T logit(const Values<T>& a, std::int64_t i, const Values<T>& b, std::int64_t j, float temperature) {
  T dot(0);
  for (std::int64_t d = 0; d < a.extent(1); ++d) dot += a(i, d) * b(j, d);
  return dot / T(temperature);
}

inline std::int64_t partner_of(std::int64_t row, std::int64_t views, int rank) {
  return rank * views + (row + views / 2) % views;
}

template <class T>
void reference(const NtXentForward& op, Memory<T>& memory) {
  using std::exp, std::log;
  const auto u = memory[op.u];
  const auto all = memory[op.u_all];
  const auto sums = memory[op.sums];
  std::ranges::fill(sums.flat(), T(0));
  const std::int64_t views = u.extent(0);
  for (std::int64_t i = 0; i < views; ++i) {
    const std::int64_t self = op.rank * views + i;
    const std::int64_t partner = partner_of(i, views, op.rank);
    std::vector<T> x;
    bool found = true;
    const T positive = logit(u, i, all, partner, op.temperature);
    for (std::int64_t j = 0; j < all.extent(0); ++j) {
      if (j == self) continue;
      x.push_back(logit(u, i, all, j, op.temperature));
      if (j != partner && !(real_part(positive) > real_part(x.back()))) found = false;
    }
    const T largest =
        *std::ranges::max_element(x, {}, [](const T& value) { return real_part(value); });
    T sum(0);
    for (const T& value : x) sum += exp(value - largest);
    const T lse = largest + log(sum);
    T expected(0);
    for (const T& value : x) expected += exp(value - lse) * value;
    memory[op.lse](i) = lse;
    sums(0) += lse - positive;
    if (found) sums(1) += T(1);
    sums(2) += lse - expected;
  }
}

template <class T>
void reference(const NtXentBackward& op, Memory<T>& memory) {
  using std::exp;
  const auto u = memory[op.u];
  const auto all = memory[op.u_all];
  const auto du = memory[op.du];
  const std::int64_t views = u.extent(0);
  const T loss_scale = op.control ? memory[*op.control](3) : T(1);
  const T scale = loss_scale / T(static_cast<double>(all.extent(0)) * op.temperature);
  for (std::int64_t i = 0; i < views; ++i) {
    std::vector<T> q(static_cast<std::size_t>(all.extent(0)), T(0));
    for (std::int64_t j = 0; j < all.extent(0); ++j) {
      if (j == op.rank * views + i) continue;
      const T x = logit(u, i, all, j, op.temperature);
      q[static_cast<std::size_t>(j)] = exp(x - memory[op.lse](i)) + exp(x - memory[op.lse_all](j));
    }
    q[static_cast<std::size_t>(partner_of(i, views, op.rank))] -= T(2);
    for (std::int64_t d = 0; d < u.extent(1); ++d) {
      T sum(0);
      for (std::int64_t j = 0; j < all.extent(0); ++j)
        sum += q[static_cast<std::size_t>(j)] * all(j, d);
      du(i, d) = scale * sum;
    }
  }
}

template <class T>
void reference(const ColumnDeviation& op, Memory<T>& memory) {
  using std::sqrt;
  const auto u = memory[op.u];
  const T rows(static_cast<double>(u.extent(0)));
  T sum(0);
  for (std::int64_t d = 0; d < u.extent(1); ++d) {
    T mean(0), variance(0);
    for (std::int64_t v = 0; v < u.extent(0); ++v) mean += u(v, d) / rows;
    for (std::int64_t v = 0; v < u.extent(0); ++v) {
      variance += (u(v, d) - mean) * (u(v, d) - mean) / rows;
    }
    sum += sqrt(variance);
  }
  memory[op.deviation](0) = sum / T(static_cast<double>(u.extent(1)));
}

/// Number of classes ranked before the label; of equal logits, the smaller index comes first.
template <class T>
std::int64_t place_of_label(const Values<T>& logits, std::int64_t row, std::int64_t label) {
  std::int64_t before = 0;
  for (std::int64_t k = 0; k < logits.extent(1); ++k) {
    const double difference = real_part(logits(row, k)) - real_part(logits(row, label));
    if (difference > 0 || (difference == 0 && k < label)) ++before;
  }
  return before;
}

template <class T>
void reference(const SoftmaxCrossEntropy& op, Memory<T>& memory) {
  using std::exp, std::log;
  const auto logits = memory[op.logits];
  const auto sums = memory[op.sums];
  std::ranges::fill(sums.flat(), T(0));
  for (std::int64_t v = 0; v < logits.extent(0); ++v) {
    const auto label =
        static_cast<std::int64_t>(real_part(memory[op.labels](v % memory[op.labels].extent(0))));
    T sum(0);
    for (std::int64_t k = 0; k < logits.extent(1); ++k)
      sum += exp(logits(v, k) - logits(v, std::max<std::int64_t>(label, 0)));
    for (std::int64_t k = 0; k < logits.extent(1) && op.dlogits; ++k) {
      const T probability = exp(logits(v, k) - logits(v, std::max<std::int64_t>(label, 0))) / sum;
      memory[*op.dlogits](v, k) =
          label < 0 ? T(0) : (probability - T(k == label ? 1 : 0)) * T(op.gradient_scale);
    }
    if (label < 0) continue;
    const std::int64_t place = place_of_label(logits, v, label);
    sums(0) += log(sum);
    sums(1) += T(place < 1 ? 1 : 0);
    sums(2) += T(place < 5 ? 1 : 0);
    sums(3) += T(1);
  }
}

}  // namespace simclr::reference
