// Compares one training step on several ranks with one rank on the same global batch.

#include <gtest/gtest.h>

#include <cmath>

#include "backend/backends.hpp"
#include "on_backend.hpp"
#include "simclr/comm/communicator.hpp"
#include "simclr/comm/session.hpp"
#include "step.hpp"

namespace simclr {
namespace {

constexpr std::int64_t kGlobalSamples = 8;

/// Returns this rank's rows of the global views: both views of samples [rank*n, (rank+1)*n).
std::vector<float> local_views(const std::vector<float>& global, std::int64_t local_samples,
                               int rank) {
  const std::size_t view = global.size() / (2 * kGlobalSamples);
  std::vector<float> local;
  for (std::int64_t v = 0; v < 2; ++v) {
    const auto first = static_cast<std::size_t>(v * kGlobalSamples + rank * local_samples) * view;
    const auto begin = global.begin() + static_cast<std::ptrdiff_t>(first);
    local.insert(local.end(), begin, begin + static_cast<std::ptrdiff_t>(view) * local_samples);
  }
  return local;
}

struct Outcome {
  double loss = 0, z_std = 0;
  std::vector<float> gradients, parameters, running;
};

Outcome run(PretrainingSpec spec, const testing::RanksUnderTest& under_test, Communicator& control,
            int bn_group_samples) {
  const int ranks = control.size();
  spec.rank = control.rank();
  spec.world_size = ranks;
  spec.local_samples = kGlobalSamples / ranks;
  const int group = bn_group_samples > 0 ? bn_group_samples : static_cast<int>(kGlobalSamples);
  const auto local = static_cast<int>(spec.local_samples);
  spec.batch_norm.groups_per_rank = group < local ? local / group : 1;
  spec.batch_norm.ranks_per_group = group > local ? group / local : 1;
  const auto bn_ranks = control.split(control.rank() / spec.batch_norm.ranks_per_group);
  const auto backend = under_test.make(node_place(control));
  const auto world = backend->make_communicator(control, Lane::compute);
  const auto bn_group = backend->make_communicator(*bn_ranks, Lane::compute);
  const auto gradient_lane = backend->make_communicator(control, Lane::gradients);
  Executor executor(record_pretraining(spec), *backend,
                    {world.get(), bn_group.get(), gradient_lane.get()}, {.poison_arena = true});

  test::set_state(executor);
  const std::int64_t view = spec.image_size * spec.image_size * 3;
  const auto views =
      local_views(test::fixed_views(2 * kGlobalSamples * view), spec.local_samples, spec.rank);
  executor.upload(executor.program().at("views"), const_buffer_span(std::span<const float>(views)));
  executor.run_forward();
  executor.run_backward();
  Outcome outcome;
  outcome.gradients = executor.flat(Storage::gradients);
  executor.run_update();
  std::vector<double> sums(3);
  executor.download(executor.program().at("sums"), buffer_span(std::span(sums)));
  outcome.loss = sums[0] / (2 * kGlobalSamples);
  executor.download(executor.program().at("z_std"), buffer_span(std::span(&outcome.z_std, 1)));
  outcome.parameters = executor.flat(Storage::parameters);
  outcome.running = executor.flat(Storage::running);
  return outcome;
}

/// Returns rms(a - b) / rms(b); NaN if either contains a NaN.
double relative_difference(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0;
  double size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - b[i], 2);
    size += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(difference / size);
}

struct Bounds {
  double loss = 1e-6;
  double gradients = 1e-3;
  double parameters = 1e-5;
  double running = 1e-5;
};

class Ranks : public ::testing::TestWithParam<std::size_t> {
 protected:
  void SetUp() override {
    const std::string reason = test::why_skip(DType::f32);
    if (!reason.empty()) GTEST_SKIP() << reason;
  }

  static void expect_as_on_one_rank(const PretrainingSpec& spec, int bn_group_samples = 0,
                                    const Bounds& bounds = {}) {
    const testing::RanksUnderTest& under_test = testing::ranks_under_test()[GetParam()];
    const auto world = make_world_communicator();
    const Outcome outcome = run(spec, under_test, *world, bn_group_samples);
    expect_the_same_everywhere(outcome, *world);
    if (world->rank() != 0) return;
    const auto alone = make_self_communicator();
    const Outcome expected = run(spec, under_test, *alone, bn_group_samples);
    EXPECT_LE(std::abs(outcome.loss - expected.loss), bounds.loss * std::abs(expected.loss));
    EXPECT_LE(std::abs(outcome.z_std - expected.z_std), bounds.loss * expected.z_std);
    EXPECT_LE(relative_difference(outcome.gradients, expected.gradients), bounds.gradients);
    EXPECT_LE(relative_difference(outcome.parameters, expected.parameters), bounds.parameters);
    EXPECT_LE(relative_difference(outcome.running, expected.running), bounds.running);
  }

 private:
  /// Expects the same bits on every rank.
  static void expect_the_same_everywhere(const Outcome& outcome, Communicator& world) {
    std::vector<float> first = outcome.parameters;
    first.insert(first.end(), outcome.running.begin(), outcome.running.end());
    first.push_back(static_cast<float>(outcome.loss));
    first.push_back(static_cast<float>(outcome.z_std));
    const std::vector<float> mine = first;
    world.broadcast(buffer_span(std::span(first)), 0);
    EXPECT_EQ(mine, first);
  }
};

TEST_P(Ranks, AgreeWithOneRank) { expect_as_on_one_rank(test::small_spec()); }

TEST_P(Ranks, AgreeWithOneRankOnBottlenecksWithRecomputation) {
  PretrainingSpec spec = test::small_spec();
  spec.encoder = {.depth = 50, .width = 0.125, .stem = Stem::imagenet};
  spec.image_size = 33;
  spec.recompute_blocks = true;
  spec.bucket_bytes = 1 << 12;
  expect_as_on_one_rank(spec);
}

/// Groups of K samples give the same result whether they lie within a rank or span ranks.
TEST_P(Ranks, AgreeWithOneRankWithGroupedStatistics) {
  for (const int samples : {2, 4}) expect_as_on_one_rank(test::small_spec(), samples);
}

TEST_P(Ranks, AgreeWithOneRankInBf16) {
  const std::string reason = test::why_skip(DType::bf16);
  if (!reason.empty()) GTEST_SKIP() << reason;
  PretrainingSpec spec = test::small_spec();
  spec.activations = DType::bf16;
  expect_as_on_one_rank(spec, 0,
                        {.loss = 1e-3, .gradients = 0.1, .parameters = 1e-2, .running = 1e-2});
}

INSTANTIATE_TEST_SUITE_P(Collectives, Ranks,
                         ::testing::Range<std::size_t>(0, testing::ranks_under_test().size()),
                         [](const auto& test) {
                           return testing::ranks_under_test()[test.param].name;
                         });

}  // namespace
}  // namespace simclr
