#include "simclr/eval/retrieval.hpp"
#include "simclr/backend/registry.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "eval/feature_cases.hpp"
#include "simclr/comm/session.hpp"
#include "simclr/core/random.hpp"
#include "simclr/program/ops.hpp"

namespace simclr {
namespace {

/// Computes the definition from the inner products of the rows.
Retrieval brute_force(const LabeledFeatures& set) {
  Retrieval sums;
  for (std::int64_t q = 0; q < set.rows(); ++q) {
    struct Other {
      double similarity;
      bool same;
    };
    std::vector<Other> others;
    for (std::int64_t j = 0; j < set.rows(); ++j) {
      if (j == q) continue;
      double dot = 0;
      for (std::int64_t c = 0; c < set.channels; ++c) {
        dot += double{set.values[static_cast<std::size_t>(q * set.channels + c)]} *
               set.values[static_cast<std::size_t>(j * set.channels + c)];
      }
      others.push_back({dot, set.labels[static_cast<std::size_t>(j)] ==
                                 set.labels[static_cast<std::size_t>(q)]});
    }
    std::ranges::stable_sort(others, std::greater<>(), &Other::similarity);
    const auto r = std::ranges::count(others, true, &Other::same);
    if (r == 0) {
      ++sums.left_out;
      continue;
    }
    ++sums.queries;
    for (std::size_t k = 0; k < sums.recall.size(); ++k) {
      const auto nearest = std::span(others).first(
          std::min(others.size(), static_cast<std::size_t>(Retrieval::kPlaces[k])));
      sums.recall[k] += std::ranges::count(nearest, true, &Other::same) > 0 ? 1 : 0;
    }
    double precisions = 0;
    for (std::ptrdiff_t i = 0; i < r; ++i) {
      const auto up_to = std::span(others).first(static_cast<std::size_t>(i + 1));
      if (!up_to.back().same) continue;
      precisions += static_cast<double>(std::ranges::count(up_to, true, &Other::same)) /
                    static_cast<double>(i + 1);
    }
    sums.map_at_r += precisions / static_cast<double>(r);
  }
  const auto queries = static_cast<double>(sums.queries);
  for (double& value : sums.recall) value /= queries;
  sums.map_at_r /= queries;
  return sums;
}

/// Rows of signs, whose cosines are multiples of 1/8: most are equal to others, without rounding.
LabeledFeatures signs(std::int64_t rows, std::int64_t classes) {
  LabeledFeatures features{16, {}, {}};
  PhiloxStream random(5, RandomPurpose::kInitialization, 0, 0);
  for (std::int64_t i = 0; i < rows; ++i) {
    const auto label = static_cast<std::int64_t>(random.below(static_cast<std::uint32_t>(classes)));
    features.labels.push_back(label);
    for (std::int64_t c = 0; c < 16; ++c) {
      const bool of_class = (label * 7 + c) % 5 < 2;
      const bool flipped = random.below(5) == 0;
      features.values.push_back(of_class != flipped ? 1.0F : -1.0F);
    }
  }
  return features;
}

class RetrievalTest : public testing::Test {
 protected:
  void expect_definition(const LabeledFeatures& set) {
    const Retrieval expected = brute_force(set);
    const auto part = part_of(set, world->rank(), world->size());
    const Retrieval found = measure_retrieval(part, *backend, *world);
    EXPECT_EQ(found.queries, expected.queries);
    EXPECT_EQ(found.left_out, expected.left_out);
    for (std::size_t k = 0; k < found.recall.size(); ++k) {
      EXPECT_DOUBLE_EQ(found.recall[k], expected.recall[k]) << k;
    }
    EXPECT_NEAR(found.map_at_r, expected.map_at_r, 1e-12);
  }
  std::unique_ptr<Communicator> world = make_world_communicator();
  std::unique_ptr<Backend> backend = make_cpu_backend(1);
};

TEST_F(RetrievalTest, FollowsTheDefinitionWhereManyAreEquallyNear) {
  const LabeledFeatures set = signs(400, 9);
  const Retrieval expected = brute_force(set);
  EXPECT_GT(expected.map_at_r, 0.1);
  EXPECT_LT(expected.recall[0], 0.99);
  expect_definition(set);
}

TEST_F(RetrievalTest, LeavesOutSamplesThatAreAloneInTheirClass) {
  LabeledFeatures set = signs(60, 4);
  set.labels[7] = 20;
  set.labels[59] = 21;
  EXPECT_EQ(brute_force(set).left_out, 2);
  expect_definition(set);
}

TEST_F(RetrievalTest, TakesSetsWithFewerOthersThanPlaces) { expect_definition(signs(6, 2)); }

TEST_F(RetrievalTest, CoversClassesLargerThanASearchOfNeighborsAllows) {
  LabeledFeatures set = signs(1300, 9);
  for (std::int64_t& label : set.labels) label = label == 0 ? 1 : 0;
  EXPECT_GT(std::ranges::count(set.labels, 0), TopK::kMost);
  expect_definition(set);
}

TEST(AnyToRetrieve, NeedsTwoSamplesOfOneClass) {
  EXPECT_TRUE(any_to_retrieve(std::vector<std::int64_t>{3, 1, 3}));
  EXPECT_FALSE(any_to_retrieve(std::vector<std::int64_t>{3, 1, 2}));
}

}  // namespace
}  // namespace simclr
