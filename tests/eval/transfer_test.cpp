#include "simclr/eval/transfer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <utility>
#include <vector>

#include "eval/feature_cases.hpp"
#include "simclr/comm/session.hpp"
#include "simclr/eval/metrics.hpp"

namespace simclr {
namespace {

using Vector = std::vector<double>;

/// Solves A x = b by elimination with pivots.
Vector solve(std::vector<Vector> a, Vector b) {
  const std::size_t n = b.size();
  for (std::size_t j = 0; j < n; ++j) {
    std::size_t pivot = j;
    for (std::size_t i = j; i < n; ++i) {
      if (std::abs(a[i][j]) > std::abs(a[pivot][j])) pivot = i;
    }
    std::swap(a[j], a[pivot]);
    std::swap(b[j], b[pivot]);
    for (std::size_t i = j + 1; i < n; ++i) {
      const double factor = a[i][j] / a[j][j];
      for (std::size_t k = j; k < n; ++k) a[i][k] -= factor * a[j][k];
      b[i] -= factor * b[j];
    }
  }
  for (std::size_t j = n; j-- > 0;) {
    for (std::size_t k = j + 1; k < n; ++k) b[j] -= a[j][k] * b[k];
    b[j] /= a[j][j];
  }
  return b;
}

/// An optimum found from the definition by Newton's method.
struct Optimum {
  double objective = 0;
  std::size_t classes = 0;
  Vector w;  // (K, C+1), the bias last

  [[nodiscard]] Vector logits(const float* row) const {
    const std::size_t inputs = w.size() / classes;
    Vector result(classes);
    for (std::size_t k = 0; k < classes; ++k) {
      result[k] = w[(k + 1) * inputs - 1];
      for (std::size_t c = 0; c + 1 < inputs; ++c) result[k] += w[k * inputs + c] * row[c];
    }
    return result;
  }
};

Vector softmax(const Vector& logits) {
  const double largest = *std::ranges::max_element(logits);
  Vector p;
  for (const double z : logits) p.push_back(std::exp(z - largest));
  const double sum = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& value : p) value /= sum;
  return p;
}

/// J by the definition. `targets`: the share of each class, (rows, K), NaN where it is ignored.
double objective_of(const Optimum& at, const LabeledFeatures& x, const Vector& targets,
                    double penalty, bool multi_label) {
  const std::size_t inputs = at.w.size() / at.classes;
  double sum = 0;
  for (std::size_t i = 0; i < at.w.size(); ++i) {
    if (i % inputs + 1 < inputs) sum += penalty / 2 * at.w[i] * at.w[i];
  }
  for (std::int64_t i = 0; i < x.rows(); ++i) {
    const Vector z = at.logits(x.values.data() + i * x.channels);
    const double* target = targets.data() + i * static_cast<std::int64_t>(at.classes);
    for (std::size_t k = 0; k < at.classes; ++k) {
      if (multi_label && !std::isnan(target[k])) {
        sum += std::log1p(std::exp(target[k] > 0 ? -z[k] : z[k]));
      }
      if (multi_label || target[k] == 0) continue;
      double others = 0;
      for (std::size_t j = 0; j < z.size(); ++j) others += j == k ? 0 : std::exp(z[j] - z[k]);
      sum += std::log1p(others);
    }
  }
  return sum;
}

Optimum by_newton(const LabeledFeatures& x, const Vector& targets, std::size_t classes,
                  double penalty, bool multi_label) {
  const auto channels = static_cast<std::size_t>(x.channels);
  const std::size_t inputs = channels + 1;
  const std::size_t size = classes * inputs;
  Optimum best{0, classes, Vector(size)};
  best.objective = objective_of(best, x, targets, penalty, multi_label);
  for (int iteration = 0; iteration < 200; ++iteration) {
    Vector gradient(size);
    std::vector<Vector> hessian(size, Vector(size));
    for (std::size_t i = 0; i < size; ++i) {
      // The bias of a softmax is determined up to a constant; a tiny curvature chooses one.
      const bool is_bias = i % inputs == channels;
      gradient[i] = is_bias ? 0 : penalty * best.w[i];
      hessian[i][i] = is_bias ? 1e-10 : penalty;
    }
    for (std::int64_t i = 0; i < x.rows(); ++i) {
      Vector row(x.values.begin() + i * x.channels, x.values.begin() + (i + 1) * x.channels);
      row.push_back(1);
      const Vector z = best.logits(x.values.data() + i * x.channels);
      Vector p = softmax(z);
      for (std::size_t k = 0; k < classes; ++k) {
        const double target = targets[static_cast<std::size_t>(i) * classes + k];
        if (std::isnan(target)) continue;
        if (multi_label) p[k] = 1 / (1 + std::exp(-z[k]));
        // p - 1 of the softmax without cancellation.
        double difference = p[k] - target;
        if (!multi_label && target > 0) {
          difference = 0;
          for (std::size_t j = 0; j < classes; ++j) difference -= j == k ? 0 : p[j];
        }
        for (std::size_t c = 0; c < inputs; ++c) {
          gradient[k * inputs + c] += difference * row[c];
          for (std::size_t j = 0; j < classes; ++j) {
            if (multi_label && j != k) continue;
            const double weight = j == k ? p[k] * (1 - p[k]) : -p[k] * p[j];
            for (std::size_t d = 0; d < inputs; ++d) {
              hessian[k * inputs + c][j * inputs + d] += weight * row[c] * row[d];
            }
          }
        }
      }
    }
    const Vector step = solve(hessian, gradient);
    bool better = false;
    for (double factor = 1; factor > 1e-6 && !better; factor /= 2) {
      Optimum next = best;
      for (std::size_t i = 0; i < size; ++i) next.w[i] -= factor * step[i];
      next.objective = objective_of(next, x, targets, penalty, multi_label);
      better = next.objective < best.objective;
      if (better) best = next;
    }
    if (!better) break;
  }
  return best;
}

Vector one_hot(const LabeledFeatures& x, std::size_t classes) {
  Vector targets(x.labels.size() * classes);
  for (std::size_t i = 0; i < x.labels.size(); ++i) {
    targets[i * classes + static_cast<std::size_t>(x.labels[i])] = 1;
  }
  return targets;
}

LabeledFeatures joined(LabeledFeatures a, const LabeledFeatures& b) {
  a.values.insert(a.values.end(), b.values.begin(), b.values.end());
  a.labels.insert(a.labels.end(), b.labels.begin(), b.labels.end());
  return a;
}

/// Makes channels that depend on each other, of which one is constant, far from zero.
LabeledFeatures difficult_features(std::int64_t rows, std::int32_t classes, std::uint32_t stream) {
  LabeledFeatures x = clustered_features(rows, 8, classes, stream);
  for (std::size_t i = 0; i < x.values.size(); i += 8) {
    x.values[i + 1] = 40 + x.values[i] + 0.01F * x.values[i + 1];
    x.values[i + 2] *= 100;
    x.values[i + 3] = 7;
  }
  return x;
}

class Transfer : public testing::Test {
 protected:
  [[nodiscard]] TransferRows part(const LabeledFeatures& whole) const {
    return {part_of(whole, world->rank(), world->size()), {}};
  }
  std::unique_ptr<Communicator> world = make_world_communicator();
};

TEST_F(Transfer, FindsTheOptimumOfEveryPenalty) {
  constexpr std::size_t kClasses = 3;
  const auto train = difficult_features(150, kClasses, 1);
  const auto validation = difficult_features(60, kClasses, 2);
  const auto test = difficult_features(80, kClasses, 3);
  const auto both = joined(train, validation);
  for (const double penalty : {1e5, 30.0, 0.1, 1e-6}) {
    const Optimum expected = by_newton(both, one_hot(both, kClasses), kClasses, penalty, false);
    const auto found = linear_transfer(part(train), part(validation), part(test),
                                       {.classes = kClasses, .penalties = {penalty}}, *world);
    EXPECT_TRUE(found.converged && found.path[0].converged) << penalty;
    EXPECT_LE(std::abs(found.objective - expected.objective), 1e-7 * expected.objective)
        << penalty << ": " << found.objective << ", not " << expected.objective;
    double right = 0;
    for (std::int64_t i = 0; i < test.rows(); ++i) {
      const Vector z = expected.logits(test.values.data() + i * test.channels);
      const auto best = std::ranges::max_element(z) - z.begin();
      right += best == test.labels[static_cast<std::size_t>(i)] ? 1 : 0;
    }
    EXPECT_EQ(found.test, right / static_cast<double>(test.rows())) << penalty;
    const ClassAccuracy accuracy = class_accuracy(found.predictions, *world);
    EXPECT_EQ(accuracy.all.top1, found.test);
    EXPECT_EQ(accuracy.all.samples, test.rows());
  }
}

/// With a weak penalty every sample is classified with near certainty, and J is a sum of tiny
/// terms.
TEST_F(Transfer, FindsTheOptimumOfSeparableRows) {
  auto train = clustered_features(60, 4, 2, 1);
  for (std::size_t i = 0; i < train.labels.size(); ++i) {
    train.values[4 * i + 3] += train.labels[i] == 0 ? -9.0F : 9.0F;
  }
  for (const double penalty : {1.0, 1e-3, 1e-6}) {
    const auto both = joined(train, train);
    const Optimum expected = by_newton(both, one_hot(both, 2), 2, penalty, false);
    const auto found = linear_transfer(part(train), part(train), part(train),
                                       {.classes = 2, .penalties = {penalty}}, *world);
    EXPECT_TRUE(found.converged) << penalty;
    EXPECT_LE(std::abs(found.objective - expected.objective), 1e-6 * expected.objective)
        << penalty << ": " << found.objective << ", not " << expected.objective;
    EXPECT_EQ(found.test, 1);
  }
}

TEST_F(Transfer, FitsASigmoidForEachClassOfMultiLabelRows) {
  constexpr std::size_t kClasses = 3;
  const auto make = [&](std::int64_t rows, std::uint32_t stream) {
    auto x = difficult_features(rows, kClasses, stream);
    std::vector<std::uint8_t> marks;
    for (std::size_t i = 0; i < x.labels.size(); ++i) {
      for (std::int64_t k = 0; k < std::int64_t{kClasses}; ++k) {
        const bool present = x.labels[i] == k || (i + static_cast<std::size_t>(k)) % 4 == 0;
        marks.push_back((i + 2 * static_cast<std::size_t>(k)) % 5 == 0 ? kIgnored
                        : present                                      ? kPresent
                                                                       : kAbsent);
      }
    }
    return std::pair(x, marks);
  };
  const auto own = [&](const std::pair<LabeledFeatures, std::vector<std::uint8_t>>& whole) {
    auto number = whole.first;  // the row's number as label, to find its marks
    std::iota(number.labels.begin(), number.labels.end(), 0);
    TransferRows rows = part(number);
    for (const std::int64_t row : rows.h.labels) {
      const auto first = whole.second.begin() + row * std::int64_t{kClasses};
      rows.marks.insert(rows.marks.end(), first, first + std::int64_t{kClasses});
    }
    rows.h.labels.clear();
    return rows;
  };
  const auto train = make(120, 1);
  const auto test = make(90, 2);
  const auto both = joined(train.first, train.first);
  Vector targets;
  for (int copy = 0; copy < 2; ++copy) {
    for (const std::uint8_t mark : train.second) {
      targets.push_back(mark == kIgnored ? std::nan("") : mark);
    }
  }
  for (const double penalty : {1e3, 0.01}) {
    const Optimum expected = by_newton(both, targets, kClasses, penalty, true);
    const auto found = linear_transfer(own(train), own(train), own(test),
                                       {.classes = kClasses,
                                        .multi_label = true,
                                        .penalties = {penalty},
                                        .metric = TransferMetric::ap11},
                                       *world);
    EXPECT_TRUE(found.converged);
    EXPECT_LE(std::abs(found.objective - expected.objective), 1e-7 * expected.objective);
    Vector scores;
    for (std::int64_t i = 0; i < test.first.rows(); ++i) {
      const Vector z = expected.logits(test.first.values.data() + i * test.first.channels);
      scores.insert(scores.end(), z.begin(), z.end());
    }
    const auto precision = mean_average_precision_11(scores, test.second, kClasses);
    EXPECT_NEAR(found.test, precision.value(), 1e-12);
    EXPECT_GT(found.test, 0.5);
  }
}

TEST_F(Transfer, ChoosesTheStrongestOfEqualPenaltiesAndTheBestOfOthers) {
  const auto train = difficult_features(150, 4, 1);
  const auto validation = difficult_features(100, 4, 2);
  std::vector<double> penalties;
  penalties.reserve(12);
  for (int i = 0; i < 12; ++i) penalties.push_back(std::pow(10, 5 - i));
  for (const auto metric :
       {TransferMetric::top1, TransferMetric::mean_per_class, TransferMetric::ap11}) {
    const auto found =
        linear_transfer(part(train), part(validation), part(validation),
                        {.classes = 4, .penalties = penalties, .metric = metric}, *world);
    ASSERT_EQ(found.path.size(), penalties.size());
    for (std::size_t i = 0; i < found.path.size(); ++i) {
      const double best = found.path[found.chosen].validation;
      EXPECT_TRUE(found.path[i].converged) << found.path[i].penalty;
      EXPECT_TRUE(i < found.chosen ? found.path[i].validation < best
                                   : found.path[i].validation <= best)
          << i;
    }
    EXPECT_GT(found.path[found.chosen].validation, found.path[0].validation);
  }
}

}  // namespace
}  // namespace simclr
