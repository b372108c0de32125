#pragma once
// Batch normalization over groups of views, by the formulas in program/ops.hpp.

#include <algorithm>
#include <cmath>

#include "reference/memory.hpp"

namespace simclr::reference {

inline std::int64_t group_of(std::int64_t view, const BnGroups& groups) {
  return groups.groups == 1 ? 0 : view % groups.samples * groups.groups / groups.samples;
}

/// Views tensors (V,H,W,C) and (V,C) as (V, pixels, C).
template <class T>
class Pixels {
 public:
  explicit Pixels(Values<T> values) : values_(values) {}
  [[nodiscard]] std::int64_t views() const { return values_.extent(0); }
  [[nodiscard]] std::int64_t channels() const { return values_.extent(-1); }
  [[nodiscard]] std::int64_t pixels() const {
    return values_.shape().elements() / views() / channels();
  }
  [[nodiscard]] T& operator()(std::int64_t v, std::int64_t p, std::int64_t c) const {
    return values_.flat()[static_cast<std::size_t>((v * pixels() + p) * channels() + c)];
  }

 private:
  Values<T> values_;
};

/// Calls visit(v, p, c, group) for every element.
template <class T, class Visit>
void for_each_element(const Pixels<T>& t, const BnGroups& groups, Visit&& visit) {
  for (std::int64_t v = 0; v < t.views(); ++v)
    for (std::int64_t p = 0; p < t.pixels(); ++p)
      for (std::int64_t c = 0; c < t.channels(); ++c) visit(v, p, c, group_of(v, groups));
}

template <class T>
void reference(const BnStatistics& op, Memory<T>& memory) {
  const Pixels<T> y(memory[op.y]);
  const auto shift = memory[op.running_mean];
  const auto stats = memory[op.stats];
  std::ranges::fill(stats.flat(), T(0));
  for_each_element(y, op.groups, [&](auto v, auto p, auto c, auto g) {
    const T centered = y(v, p, c) - shift(c);
    stats(g, 0, c) += centered;
    stats(g, 1, c) += centered * centered;
  });
}

template <class T>
void reference(const BnFinalize& op, Memory<T>& memory) {
  using std::sqrt;
  const auto stats = memory[op.stats];
  const auto affine = memory[op.affine];
  const auto saved = memory[op.saved];
  const T count(op.count);
  const T momentum(op.momentum);
  for (std::int64_t c = 0; c < stats.extent(2); ++c) {
    T& running_mean = memory[op.running_mean](c);
    T& running_var = memory[op.running_var](c);
    T mean_of_groups(0);
    T var_of_groups(0);
    for (std::int64_t g = 0; g < op.groups; ++g) {
      const T offset = stats(g, 0, c) / count;
      const T mean = running_mean + offset;
      const T var = stats(g, 1, c) / count - offset * offset;
      const T istd = T(1) / sqrt(var + T(op.epsilon));
      const T scale = memory[op.gamma](c) * istd;
      affine(g, 0, c) = scale;
      affine(g, 1, c) = (op.beta ? memory[*op.beta](c) : T(0)) - mean * scale;
      saved(g, 0, c) = mean;
      saved(g, 1, c) = istd;
      mean_of_groups += mean / T(op.groups);
      var_of_groups += var * count / (count - T(1)) / T(op.groups);
    }
    running_mean = (T(1) - momentum) * running_mean + momentum * mean_of_groups;
    running_var = (T(1) - momentum) * running_var + momentum * var_of_groups;
  }
}

template <class T>
void reference(const BnInference& op, Memory<T>& memory) {
  using std::sqrt;
  const auto affine = memory[op.affine];
  for (std::int64_t c = 0; c < affine.extent(2); ++c) {
    affine(0, 0, c) = memory[op.gamma](c) / sqrt(memory[op.running_var](c) + T(op.epsilon));
    affine(0, 1, c) =
        (op.beta ? memory[*op.beta](c) : T(0)) - memory[op.running_mean](c) * affine(0, 0, c);
  }
}

template <class T>
void reference(const BnApply& op, Memory<T>& memory) {
  const Pixels<T> y(memory[op.y]);
  const Pixels<T> z(memory[op.z]);
  const auto affine = memory[op.affine];
  for_each_element(y, op.groups, [&](auto v, auto p, auto c, auto g) {
    T value = affine(g, 0, c) * y(v, p, c) + affine(g, 1, c);
    if (op.residual) {
      const T residual = Pixels<T>(memory[*op.residual])(v, p, c);
      value += op.residual_affine ? memory[*op.residual_affine](g, 0, c) * residual +
                                        memory[*op.residual_affine](g, 1, c)
                                  : residual;
    }
    z(v, p, c) = op.relu && real_part(value) < 0 ? T(0) : value;
  });
}

template <class T>
void reference(const BnBackwardReduce& op, Memory<T>& memory) {
  const Pixels<T> dz(memory[op.dz]);
  const Pixels<T> y(memory[op.y]);
  const auto affine = memory[op.affine];
  const auto saved = memory[op.saved];
  const auto sums = memory[op.sums];
  const auto dgamma = memory[op.dgamma];
  std::ranges::fill(sums.flat(), T(0));
  std::ranges::fill(dgamma.flat(), T(0));
  if (op.dbeta) std::ranges::fill(memory[*op.dbeta].flat(), T(0));
  for_each_element(y, op.groups, [&](auto v, auto p, auto c, auto g) {
    T gradient = dz(v, p, c);
    if (op.dz_other) gradient += Pixels<T>(memory[*op.dz_other])(v, p, c);
    const T z =
        op.z ? Pixels<T>(memory[*op.z])(v, p, c) : affine(g, 0, c) * y(v, p, c) + affine(g, 1, c);
    if (op.relu && !(real_part(z) > 0)) gradient = T(0);
    if (op.write_back) dz(v, p, c) = gradient;
    const T normalized = (y(v, p, c) - saved(g, 0, c)) * saved(g, 1, c);
    sums(g, 0, c) += gradient;
    sums(g, 1, c) += gradient * normalized;
    dgamma(c) += gradient * normalized;
    if (op.dbeta) memory[*op.dbeta](c) += gradient;
  });
}

template <class T>
void reference(const BnBackwardApply& op, Memory<T>& memory) {
  const Pixels<T> dz(memory[op.dz]);
  const Pixels<T> y(memory[op.y]);
  const Pixels<T> dy(memory[op.dy]);
  const auto affine = memory[op.affine];
  const auto saved = memory[op.saved];
  const auto sums = memory[op.sums];
  for_each_element(y, op.groups, [&](auto v, auto p, auto c, auto g) {
    T gradient = dz(v, p, c);
    const T z = affine(g, 0, c) * y(v, p, c) + affine(g, 1, c);
    if (op.relu && !(real_part(z) > 0)) gradient = T(0);
    const T normalized = (y(v, p, c) - saved(g, 0, c)) * saved(g, 1, c);
    dy(v, p, c) =
        memory[op.gamma](c) * saved(g, 1, c) *
        (gradient - sums(g, 0, c) / T(op.count) - normalized * sums(g, 1, c) / T(op.count));
  });
}

}  // namespace simclr::reference
