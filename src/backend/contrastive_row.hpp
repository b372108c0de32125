#pragma once
// What one row of the similarity matrix comes to in a contrastive loss, and the weights of its
// partner: the same on the CPU and in kernels. simclr/program/contrastive.hpp has the formulas.

#include <cmath>
#include <cstdint>

#include "simclr/core/host_device.hpp"
#include "simclr/program/contrastive.hpp"

namespace simclr {

/// The running state of one row's softmax over the columns seen so far, x = s/T, m = largest x:
/// sum of exp(x - m), and of exp(x - m)*(x - m).
struct SoftmaxRow {
  double largest = -3.0e38;  ///< of s, not divided by T
  double sum = 0;
  double weighted = 0;
  float partner = 0;                     ///< the partner's s
  float rival = -__builtin_huge_valf();  ///< largest s of the columns beside the partner
};

/// Sums over negatives: of their terms of the loss, and the number of those beyond the margin.
struct NegativeSums {
  double sum = 0;
  std::int64_t count = 0;
};
/// Over positives, the row itself among them: of similarities, and their number.
struct PositiveSums {
  double sum = 0;
  std::int64_t count = 0;
};
/// The largest similarity within limits and its column, the first of equal ones; -1: none.
struct NearestNegative {
  float similarity = -__builtin_huge_valf();
  std::int64_t column = -1;
};

/// What one row has seen of its columns.
struct ContrastRow {
  SoftmaxRow all;           ///< columns but the row itself
  SoftmaxRow negatives;     ///< where the loss takes the softmax of these
  NegativeSums sums;        ///< where it takes a sum of a function of each
  NearestNegative nearest;  ///< semi-hard
  PositiveSums positives;   ///< supcon
  float positive = 0;       ///< the partner's s, with which negatives were compared
};

/// What a row adds to the sums, and what gradients need of it.
struct ContrastTerms {
  double loss = 0, hit = 0, entropy = 0, found = 0;
  float statistic = 0, second = 0;
};

/// A loss's numbers of all views; null where it has none.
struct ContrastStatistics {
  const float *statistic = nullptr, *second = nullptr;
};

SIMCLR_HD_INLINE double softplus(double x) {
  return (x < 0 ? 0 : x) + std::log1p(std::exp(x < 0 ? x : -x));
}

/// lse of a softmax less the logit of similarity `s`; sets lse. With x = s/T, m its maximum and S =
/// sum exp(x - m): lse = m + ln S.
SIMCLR_HD_INLINE double cross_entropy(const SoftmaxRow& row, double s, double inverse_temperature,
                                      float& lse) {
  const double log_sum = std::log(row.sum);
  lse = static_cast<float>(row.largest * inverse_temperature + log_sum);
  return log_sum - (s - row.largest) * inverse_temperature;
}

SIMCLR_HD_INLINE void add_logit(SoftmaxRow& row, double s, double inverse_temperature) {
  const double largest = s > row.largest ? s : row.largest;
  row.sum = row.sum * std::exp((row.largest - largest) * inverse_temperature) +
            std::exp((s - largest) * inverse_temperature);
  row.largest = largest;
}

/// Semi-hard forms of nt-logistic and margin.
SIMCLR_HD_INLINE void finish_semi_hard(const ContrastiveLoss& loss, const ContrastRow& row,
                                       ContrastTerms& terms) {
  const double inverse = loss.inverse_temperature();
  const bool found = row.nearest.column >= 0;
  const double s = row.nearest.similarity;
  terms.found = found ? 1 : 0;
  terms.second = static_cast<float>(row.nearest.column);
  if (loss.kind == LossKind::margin) {
    terms.statistic = found ? 1 : 0;
    terms.loss = found ? s - row.positive + loss.margin : 0;
    return;
  }
  terms.statistic = found ? static_cast<float>(1 / (1 + std::exp(-s * inverse))) : 0;
  terms.loss = softplus(-row.positive * inverse) + (found ? softplus(s * inverse) : 0);
}

/// The loss of a row and what its gradient will need, in place of those of plain nt-xent.
SIMCLR_HD_INLINE void finish_loss(const ContrastiveLoss& loss, std::int64_t views, ContrastRow& row,
                                  ContrastTerms& terms) {
  const double inverse = loss.inverse_temperature();
  switch (loss.kind) {
    case LossKind::nt_xent:
      add_logit(row.negatives, row.positive, inverse);
      [[fallthrough]];
    case LossKind::dcl:
      terms.loss = cross_entropy(row.negatives, row.positive, inverse, terms.statistic);
      return;
    case LossKind::supcon: {
      const auto count = static_cast<double>(row.positives.count - 1);  // not the row itself
      terms.second = static_cast<float>(1 / count);
      terms.loss = cross_entropy(row.all, row.positives.sum / count, inverse, terms.statistic);
      return;
    }
    case LossKind::nt_logistic:
      terms.loss = softplus(-row.positive * inverse) + loss.negative_weight(views) * row.sums.sum;
      return;
    case LossKind::margin:
      terms.statistic = row.positive;
      terms.second = static_cast<float>(row.sums.count);
      terms.loss = loss.negative_weight(views) * row.sums.sum;
      return;
  }
}

/// The row's terms once all columns are seen. With x, m and S as above and W = sum exp(x - m)*(x -
/// m): entropy = lse - sum p x = ln S - W/S. A partner that ties with another view is not found:
/// equal embeddings are no hits.
SIMCLR_HD_INLINE ContrastTerms finish_row(const ContrastiveLoss& loss, std::int64_t views,
                                          ContrastRow& row) {
  ContrastTerms terms;
  terms.loss = cross_entropy(row.all, row.all.partner, loss.inverse_temperature(), terms.statistic);
  terms.hit = row.all.partner > row.all.rival ? 1 : 0;
  terms.entropy = std::log(row.all.sum) - row.all.weighted / row.all.sum;
  if (loss.is_plain()) return terms;
  if (loss.semi_hard) {
    finish_semi_hard(loss, row, terms);
  } else {
    finish_loss(loss, views, row, terms);
  }
  if (std::isnan(terms.entropy)) terms.loss = terms.entropy;  // comparisons hide NaN
  return terms;
}

/// The factor of G: d x / d s, where the loss is a function of x.
SIMCLR_HD_INLINE double slope(const ContrastiveLoss& loss) {
  return loss.kind == LossKind::margin ? 1.0 : loss.inverse_temperature();
}

/// G_ij + G_ji of view i and its partner j, whose similarity is s, but for the slope.
SIMCLR_HD_INLINE double partner_weight(const ContrastiveLoss& loss, std::int64_t views,
                                       const ContrastStatistics& of, std::int64_t i, std::int64_t j,
                                       double s) {
  const double x = s * loss.inverse_temperature();
  switch (loss.kind) {
    case LossKind::margin:
      if (loss.semi_hard) return -(double{of.statistic[i]} + double{of.statistic[j]});
      return -loss.negative_weight(views) * (double{of.second[i]} + double{of.second[j]});
    case LossKind::nt_logistic:
      return -2 / (1 + std::exp(x));
    case LossKind::dcl:
      return -2;
    default:
      return std::exp(x - double{of.statistic[i]}) + std::exp(x - double{of.statistic[j]}) - 2;
  }
}

/// Equal for two views iff one is a positive of the other. `labels` of all samples, rank after rank
/// of `rows` views; -1: none.
SIMCLR_HD_INLINE std::int32_t positive_id(const std::int32_t* labels, std::int64_t view,
                                          std::int64_t rows) {
  const std::int64_t sample = view / rows * (rows / 2) + view % rows % (rows / 2);
  const std::int32_t label = labels[sample];
  return label >= 0 ? label : static_cast<std::int32_t>(-1 - sample);
}

}  // namespace simclr
