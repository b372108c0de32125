#pragma once
// The family of contrastive losses. With N images, M = 2N views, embeddings u, s_ij = u_i.u_j, the
// other view p(i) of i's image, s+ = s_i,p(i), temperature T, the negatives A_i of view i and
// x = s/T, the loss is the mean over views of
//   nt-xent      lse over A_i and p(i) of x - x+            (Chen et al. 2020, equation 1)
//   dcl          lse over A_i of x - x+                     (Yeh et al. 2022)
//   nt-logistic  -ln sig(x+) - w sum over A_i of ln sig(-x) (Chen et al. 2020, table 2)
//   margin       w sum over A_i of max(s - s+ + m, 0)       (the same)
//   supcon       lse over j != i of x - mean of x over the other views of i's label
//                                                           (Khosla et al. 2020, L_out)
// where w = 1/|A_i| or 1. Semi-hard forms of nt-logistic and margin have one negative, of weight 1:
// the nearest that is farther away than the positive, k_i = argmax { s_ij < s+ } over A_i (lowest
// index among equals), for margin only if s > s+ - m; without such a k_i no negative counts.

#include <cmath>
#include <cstdint>

namespace simclr {

enum class LossKind : std::uint8_t { nt_xent, dcl, nt_logistic, margin, supcon };
/// A_i: all views but i and p(i), or those of them that are the other view of their image.
enum class Negatives : std::uint8_t { both, one };
/// w: 1/|A_i| or 1.
enum class NegativeWeight : std::uint8_t { mean, sum };

struct ContrastiveLoss {
  LossKind kind = LossKind::nt_xent;
  float temperature = 0.1F;  ///< T; also of the top-1 hits and entropies of every loss
  Negatives negatives = Negatives::both;
  bool semi_hard = false;
  float margin = 0;
  NegativeWeight weight = NegativeWeight::mean;

  [[nodiscard]] constexpr double inverse_temperature() const { return 1 / double{temperature}; }
  /// The loss that needs nothing but the softmax over all other views.
  [[nodiscard]] constexpr bool is_plain() const {
    return kind == LossKind::nt_xent && negatives == Negatives::both;
  }
  [[nodiscard]] constexpr bool is_softmax() const {
    return kind == LossKind::nt_xent || kind == LossKind::dcl || kind == LossKind::supcon;
  }
  /// |A_i| among this many views.
  [[nodiscard]] constexpr std::int64_t negative_count(std::int64_t views) const {
    return negatives == Negatives::both ? views - 2 : views / 2 - 1;
  }
  /// w; 0 without negatives.
  [[nodiscard]] constexpr double negative_weight(std::int64_t views) const {
    if (weight == NegativeWeight::sum) return 1;
    const std::int64_t count = negative_count(views);
    return count > 0 ? 1 / static_cast<double>(count) : 0;
  }
  /// Whether gradients need one number, or two, of every view; see ContrastiveForward.
  [[nodiscard]] constexpr bool has_statistic() const {
    return semi_hard || kind != LossKind::nt_logistic;
  }
  [[nodiscard]] constexpr bool has_second() const {
    return semi_hard || kind == LossKind::margin || kind == LossKind::supcon;
  }
  /// Elements of the sums: loss, top-1 hits, entropy; for semi-hard forms also the views that have
  /// a semi-hard negative.
  [[nodiscard]] constexpr int sum_count() const { return semi_hard ? 4 : 3; }
};

}  // namespace simclr
