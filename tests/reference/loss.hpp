#pragma once
// L2 normalization, contrastive losses over the whole similarity matrix, softmax cross-entropy.

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

/// One row of the literal formula over all M views.
template <class T>
struct ContrastiveRow {
  std::vector<T> s;         ///< similarities with all views
  std::vector<T> gradient;  ///< d loss / d s
  T loss = T(0), lse = T(0);
  std::int64_t chosen = -1;  ///< semi-hard negative
  int count = 0;             ///< active negatives, or positives
};

/// What is special about view `view` among M: rank blocks of `block` views.
struct ViewRole {
  std::int64_t view, block;
  [[nodiscard]] std::int64_t partner() const {
    return view / block * block + (view % block + block / 2) % block;
  }
  [[nodiscard]] bool is_first() const { return view % block < block / 2; }
  [[nodiscard]] std::int64_t sample() const {
    return view / block * (block / 2) + view % block % (block / 2);
  }
};

inline bool is_negative(const ContrastiveLoss& loss, const ViewRole& row, std::int64_t column) {
  if (column == row.view || column == row.partner()) return false;
  return loss.negatives == Negatives::both ||
         row.is_first() != ViewRole{column, row.block}.is_first();
}

template <class T>
T lse_of(const std::vector<T>& x) {
  using std::exp, std::log;
  T largest = x.front();
  for (const T& value : x) {
    if (real_part(value) > real_part(largest)) largest = value;
  }
  T sum(0);
  for (const T& value : x) sum += exp(value - largest);
  return largest + log(sum);
}
template <class T>
T softplus(const T& x) {
  return lse_of<T>({T(0), x});
}

/// label_of(sample) is asked by supcon only.
template <class T, class Labels>
ContrastiveRow<T> contrastive_row(const ContrastiveLoss& loss, const Values<T>& all,
                                  const ViewRole& role, const Labels& label_of) {
  using std::exp;
  ContrastiveRow<T> row;
  const std::int64_t views = all.extent(0);
  const T inverse = T(1) / T(static_cast<double>(loss.temperature));
  const auto at = [](std::int64_t j) { return static_cast<std::size_t>(j); };
  for (std::int64_t j = 0; j < views; ++j) {
    T dot(0);
    for (std::int64_t d = 0; d < all.extent(1); ++d) dot += all(role.view, d) * all(j, d);
    row.s.push_back(dot);
  }
  row.gradient.assign(at(views), T(0));
  const T positive = row.s[at(role.partner())];
  std::vector<std::int64_t> negatives, denominator;
  for (std::int64_t j = 0; j < views; ++j) {
    if (is_negative(loss, role, j)) negatives.push_back(j);
    const bool counts =
        loss.kind == LossKind::supcon
            ? j != role.view
            : is_negative(loss, role, j) || (loss.kind == LossKind::nt_xent && j == role.partner());
    if (counts) denominator.push_back(j);
  }
  const auto sigmoid = [](const T& x) { return T(1) / (T(1) + exp(-x)); };

  if (loss.is_softmax()) {
    std::vector<T> x;
    x.reserve(denominator.size());
    for (const std::int64_t j : denominator) x.push_back(row.s[at(j)] * inverse);
    row.lse = lse_of(x);
    std::vector<std::int64_t> positives;
    if (loss.kind == LossKind::supcon) {
      const int label = label_of(role.sample());
      for (std::int64_t j = 0; j < views; ++j) {
        const std::int64_t other = ViewRole{j, role.block}.sample();
        const bool same = label >= 0 ? label_of(other) == label : other == role.sample();
        if (same && j != role.view) positives.push_back(j);
      }
    } else {
      positives.push_back(role.partner());
    }
    row.count = static_cast<int>(positives.size());
    const T share = T(1) / T(static_cast<double>(row.count));
    row.loss = row.lse;
    for (const std::int64_t j : denominator) {
      row.gradient[at(j)] += exp(row.s[at(j)] * inverse - row.lse) * inverse;
    }
    for (const std::int64_t j : positives) {
      row.loss -= row.s[at(j)] * inverse * share;
      row.gradient[at(j)] -= share * inverse;
    }
    return row;
  }

  T weight(loss.negative_weight(views));
  if (loss.semi_hard) {
    weight = T(1);
    for (const std::int64_t j : negatives) {
      const double s = real_part(row.s[at(j)]);
      if (!(s < real_part(positive))) continue;
      if (loss.kind == LossKind::margin &&
          !(s > real_part(positive) - static_cast<double>(loss.margin))) {
        continue;
      }
      if (row.chosen < 0 || s > real_part(row.s[at(row.chosen)])) row.chosen = j;
    }
    negatives.clear();
    if (row.chosen >= 0) negatives.push_back(row.chosen);
  }
  T& of_positive = row.gradient[at(role.partner())];
  if (loss.kind == LossKind::nt_logistic) {
    row.loss = softplus(-positive * inverse);
    of_positive = -sigmoid(-positive * inverse) * inverse;
    for (const std::int64_t j : negatives) {
      row.loss += weight * softplus(row.s[at(j)] * inverse);
      row.gradient[at(j)] = weight * sigmoid(row.s[at(j)] * inverse) * inverse;
    }
    return row;
  }
  for (const std::int64_t j : negatives) {
    const T beyond = row.s[at(j)] - positive + T(static_cast<double>(loss.margin));
    if (!(real_part(beyond) > 0)) continue;
    ++row.count;
    row.loss += weight * beyond;
    row.gradient[at(j)] = weight;
    of_positive -= weight;
  }
  return row;
}

template <class T, class AnyOp>
ContrastiveRow<T> row_of(const AnyOp& op, Memory<T>& memory, std::int64_t view) {
  const auto label_of = [&](std::int64_t sample) {
    return op.labels_all ? static_cast<int>(real_part(memory[*op.labels_all](sample))) : -1;
  };
  return contrastive_row(op.loss, memory[op.u_all], {view, memory[op.u].extent(0)}, label_of);
}

template <class T>
void reference(const ContrastiveForward& op, Memory<T>& memory) {
  const auto sums = memory[op.sums];
  std::ranges::fill(sums.flat(), T(0));
  const std::int64_t views = memory[op.u].extent(0);
  for (std::int64_t i = 0; i < views; ++i) {
    const ViewRole role{op.rank * views + i, views};
    const ContrastiveRow<T> row = row_of(op, memory, role.view);
    const T inverse = T(1) / T(static_cast<double>(op.loss.temperature));
    const double positive = real_part(row.s[static_cast<std::size_t>(role.partner())]);
    std::vector<T> x;
    bool found = true;
    for (std::int64_t j = 0; j < memory[op.u_all].extent(0); ++j) {
      if (j == role.view) continue;
      const T& s = row.s[static_cast<std::size_t>(j)];
      x.push_back(s * inverse);
      if (j != role.partner() && !(positive > real_part(s))) found = false;
    }
    const T lse = lse_of(x);
    T expected(0);
    for (const T& value : x) expected += std::exp(value - lse) * value;
    sums(0) += row.loss;
    if (found) sums(1) += T(1);
    sums(2) += lse - expected;
    if (op.loss.semi_hard && row.chosen >= 0) sums(3) += T(1);
    if (op.statistic) {
      const T of_chosen =
          row.chosen < 0 ? T(0) : row.gradient[static_cast<std::size_t>(row.chosen)];
      const double slope =
          op.loss.kind == LossKind::nt_logistic ? static_cast<double>(op.loss.temperature) : 1;
      memory[*op.statistic](i) = op.loss.semi_hard                  ? of_chosen * T(slope)
                                 : op.loss.kind == LossKind::margin ? T(positive)
                                                                    : row.lse;
    }
    if (op.second) {
      memory[*op.second](i) = op.loss.semi_hard ? T(static_cast<double>(row.chosen))
                              : op.loss.kind == LossKind::margin
                                  ? T(static_cast<double>(row.count))
                                  : T(1) / T(static_cast<double>(row.count));
    }
  }
}

template <class T>
void reference(const ContrastiveBackward& op, Memory<T>& memory) {
  const auto all = memory[op.u_all];
  const auto du = memory[op.du];
  const std::int64_t views = du.extent(0);
  const T loss_scale = op.control ? memory[*op.control](3) : T(1);
  std::ranges::fill(du.flat(), T(0));
  for (std::int64_t i = 0; i < all.extent(0); ++i) {
    const ContrastiveRow<T> row = row_of(op, memory, i);
    const auto add = [&](std::int64_t to, std::int64_t from, const T& weight) {
      const std::int64_t local = to - op.rank * views;
      if (local < 0 || local >= views) return;
      for (std::int64_t d = 0; d < du.extent(1); ++d) du(local, d) += weight * all(from, d);
    };
    for (std::int64_t j = 0; j < all.extent(0); ++j) {
      const T weight = row.gradient[static_cast<std::size_t>(j)] * loss_scale /
                       T(static_cast<double>(all.extent(0)));
      add(i, j, weight);
      add(j, i, weight);
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

/// The softmax of row v of logits / temperature.
template <class T>
std::vector<T> softmax_of_row(const Values<T>& logits, std::int64_t v, double temperature) {
  using std::exp;
  std::vector<T> result;
  double largest = real_part(logits(v, 0));
  for (std::int64_t k = 0; k < logits.extent(1); ++k) {
    largest = std::max(largest, real_part(logits(v, k)));
  }
  T sum(0);
  for (std::int64_t k = 0; k < logits.extent(1); ++k) {
    result.push_back(exp((logits(v, k) - T(largest)) / T(temperature)));
    sum += result.back();
  }
  for (T& value : result) value /= sum;
  return result;
}

template <class T>
void reference(const SoftmaxCrossEntropy& op, Memory<T>& memory) {
  using std::log;
  const auto logits = memory[op.logits];
  const auto sums = memory[op.sums];
  const std::int64_t classes = logits.extent(1);
  const T of_label(op.teacher ? op.label_weight : 1);
  const T temperature(op.temperature);
  std::ranges::fill(sums.flat(), T(0));
  for (std::int64_t v = 0; v < logits.extent(0); ++v) {
    std::vector<T> gradient(static_cast<std::size_t>(classes), T(0));
    const auto label =
        static_cast<std::int64_t>(real_part(memory[op.labels](v % memory[op.labels].extent(0))));
    if (label >= 0) {
      const std::vector<T> p = softmax_of_row(logits, v, 1);
      for (std::size_t k = 0; k < p.size(); ++k) gradient[k] += of_label * p[k];
      gradient[static_cast<std::size_t>(label)] -= of_label;
      const std::int64_t place = place_of_label(logits, v, label);
      sums(0) -= of_label * log(p[static_cast<std::size_t>(label)]);
      sums(1) += T(place < 1 ? 1 : 0);
      sums(2) += T(place < 5 ? 1 : 0);
      sums(3) += T(1);
    }
    if (op.teacher) {
      const auto teacher = memory[*op.teacher];
      const std::vector<T> p = softmax_of_row(logits, v, op.temperature);
      const std::vector<T> wanted = softmax_of_row(teacher, v, op.temperature);
      const T weight = T(1) - of_label;
      std::int64_t best = 0;
      for (std::int64_t k = 0; k < classes; ++k) {
        const auto i = static_cast<std::size_t>(k);
        sums(0) -= weight * temperature * temperature * wanted[i] * log(p[i]);
        gradient[i] += weight * temperature * (p[i] - wanted[i]);
        if (real_part(teacher(v, k)) > real_part(teacher(v, best))) best = k;
      }
      sums(4) += T(place_of_label(logits, v, best) < 1 ? 1 : 0);
    }
    for (std::int64_t k = 0; k < classes && op.dlogits; ++k) {
      memory[*op.dlogits](v, k) = gradient[static_cast<std::size_t>(k)] * T(op.gradient_scale);
    }
  }
}

}  // namespace simclr::reference
