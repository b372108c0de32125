#include "simclr/backend/registry.hpp"
#include "simclr/eval/linear.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "eval/feature_cases.hpp"
#include "simclr/comm/session.hpp"

namespace simclr {
namespace {

using Matrix = std::vector<std::vector<double>>;

struct Reference {
  double loss = 0;
  double top1 = 0;
};

Matrix rows_of(const LabeledFeatures& features) {
  Matrix rows;
  for (std::int64_t i = 0; i < features.rows(); ++i) {
    const auto begin = features.values.begin() + i * features.channels;
    rows.emplace_back(begin, begin + features.channels);
    rows.back().push_back(1);  // input of the bias
  }
  return rows;
}

void standardize_both(Matrix& train, Matrix& test) {
  const std::size_t channels = train[0].size() - 1;
  for (std::size_t c = 0; c < channels; ++c) {
    double mean = 0;
    double variance = 0;
    for (const auto& row : train) mean += row[c] / static_cast<double>(train.size());
    for (const auto& row : train) {
      variance += (row[c] - mean) * (row[c] - mean) / static_cast<double>(train.size());
    }
    for (auto* matrix : {&train, &test}) {
      for (auto& row : *matrix) row[c] = (row[c] - mean) / std::sqrt(variance);
    }
  }
}

std::vector<double> probabilities(const Matrix& w, const std::vector<double>& x) {
  std::vector<double> p;
  double sum = 0;
  for (const auto& row : w) {
    double logit = 0;
    for (std::size_t c = 0; c < x.size(); ++c) logit += row[c] * x[c];
    p.push_back(std::exp(logit));
    sum += p.back();
  }
  for (double& value : p) value /= sum;
  return p;
}

/// Computes the optimum from the definition, by accelerated gradient descent in double.
Reference by_gradient_descent(const LabeledFeatures& train, const LabeledFeatures& test,
                              std::size_t classes, double l2) {
  Matrix x = rows_of(train);
  Matrix x_test = rows_of(test);
  standardize_both(x, x_test);
  const std::size_t inputs = x[0].size();
  Matrix w(classes, std::vector<double>(inputs));
  Matrix previous = w;
  Reference result;
  constexpr double kStep = 0.15;
  for (int iteration = 0; iteration < 3000; ++iteration) {
    Matrix ahead = w;  // Nesterov's look-ahead point
    const double momentum = iteration / (iteration + 3.0);
    for (std::size_t k = 0; k < classes; ++k) {
      for (std::size_t c = 0; c < inputs; ++c) ahead[k][c] += momentum * (w[k][c] - previous[k][c]);
    }
    previous = w;
    w = ahead;
    result.loss = 0;
    for (std::size_t k = 0; k < classes; ++k) {
      for (std::size_t c = 0; c + 1 < inputs; ++c) {
        result.loss += l2 / 2 * ahead[k][c] * ahead[k][c];
        w[k][c] -= kStep * l2 * ahead[k][c];
      }
    }
    for (std::size_t i = 0; i < x.size(); ++i) {
      auto p = probabilities(ahead, x[i]);
      const auto label = static_cast<std::size_t>(train.labels[i]);
      result.loss -= std::log(p[label]) / static_cast<double>(x.size());
      p[label] -= 1;
      for (std::size_t k = 0; k < classes; ++k) {
        for (std::size_t c = 0; c < inputs; ++c) {
          w[k][c] -= kStep * p[k] * x[i][c] / static_cast<double>(x.size());
        }
      }
    }
  }
  for (std::size_t i = 0; i < x_test.size(); ++i) {
    const auto p = probabilities(w, x_test[i]);
    const bool hit = std::max_element(p.begin(), p.end()) - p.begin() == test.labels[i];
    result.top1 += hit ? 1.0 / static_cast<double>(x_test.size()) : 0;
  }
  return result;
}

struct Measured {
  LinearCachedResult fit;
  Accuracy test;
};

class LinearCached : public testing::Test {
 protected:
  Measured measure(const LabeledFeatures& train, const LabeledFeatures& test,
                   const LinearCachedConfig& config) {
    const int rank = world->rank();
    const int ranks = world->size();
    auto fit = linear_cached(part_of(train, rank, ranks), part_of(test, rank, ranks), config,
                             *backend, *world);
    const Accuracy accuracy = class_accuracy(fit.test, *world).all;
    return {std::move(fit), accuracy};
  }
  std::unique_ptr<Communicator> world = make_world_communicator();
  std::unique_ptr<Backend> backend = make_cpu_backend(1);
};

TEST_F(LinearCached, FindsTheOptimum) {
  const auto train = clustered_features(400, 12, 6, 1);
  const auto test = clustered_features(500, 12, 6, 2);
  constexpr double kL2 = 0.01;
  const Reference expected = by_gradient_descent(train, test, 6, kL2);
  const auto found = measure(train, test, {.classes = 6, .l2 = 6 * kL2, .tolerance = 6e-5});
  EXPECT_TRUE(found.fit.converged);
  EXPECT_LE(std::abs(found.fit.train_loss - expected.loss), 1e-6 * expected.loss);
  EXPECT_LE(std::abs(found.test.top1 - expected.top1), 1.5 / 500);
  EXPECT_EQ(found.test.samples, 500);
  EXPECT_GE(found.test.top5, found.test.top1);
  EXPECT_GT(expected.top1, 0.5);
  EXPECT_LT(expected.top1, 0.98);
}

TEST_F(LinearCached, DoesNotDependOnTheScaleOfTheFeatures) {
  const auto train = clustered_features(300, 12, 4, 1);
  const auto test = clustered_features(200, 12, 4, 2);
  const auto scaled = [](LabeledFeatures features) {
    for (float& value : features.values) value = 1024 * value;  // exact in f32
    return features;
  };
  const LinearCachedConfig config{.classes = 4};
  const auto found = measure(train, test, config);
  const auto found_scaled = measure(scaled(train), scaled(test), config);
  EXPECT_LE(std::abs(found.fit.train_loss - found_scaled.fit.train_loss),
            1e-5 * found.fit.train_loss);
  EXPECT_EQ(found.test.top1, found_scaled.test.top1);
}

TEST_F(LinearCached, SurvivesDeadChannels) {
  const auto dead = [](LabeledFeatures features) {
    for (std::size_t i = 0; i < features.values.size(); i += 12) features.values[i] = 0.25F;
    return features;
  };
  const auto found = measure(dead(clustered_features(300, 12, 4, 1)),
                             dead(clustered_features(200, 12, 4, 2)), {.classes = 4});
  EXPECT_TRUE(found.fit.converged);
  EXPECT_GT(found.test.top1, 0.5);
}

TEST_F(LinearCached, CoversMoreRowsThanOneBlock) {
  const auto train = clustered_features(5000, 4, 3, 1);
  const auto found = measure(train, train, {.classes = 3});
  EXPECT_EQ(found.test.samples, 5000);
  EXPECT_TRUE(found.fit.converged);
}

}  // namespace
}  // namespace simclr
