// The distributed store gives the same batches as the others, wherever training starts and stops.

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <tuple>

#include "shared_shards.hpp"
#include "simclr/comm/session.hpp"
#include "simclr/core/check.hpp"
#include "simclr/data/loader.hpp"

namespace simclr {
namespace {

bool same(const HostBuffer& a, const HostBuffer& b) {
  return std::ranges::equal(a.values<float>(), b.values<float>());
}

constexpr std::int64_t kSamples = 103;

class Distributed : public testing::Test {
 protected:
  [[nodiscard]] LoaderConfig config() const {
    LoaderConfig config;
    config.augmentation = simclr_augmentation(8);
    config.augmentation.interpolation = Interpolation::bilinear;
    config.seed = 5;
    config.batch_size = 12;
    config.rank = world_->rank();
    config.world_size = world_->size();
    config.end_step = 20;  // crosses epochs of 8 steps
    return config;
  }

  std::unique_ptr<Communicator> world_ = make_world_communicator();
};

/// Bytes of this rank's samples that are in other ranks' parts.
std::uint64_t foreign_bytes(const ShardSet& set, const std::vector<std::int64_t>& samples,
                            const Communicator& world) {
  const std::int64_t first = kSamples * world.rank() / world.size();
  const std::int64_t end = kSamples * (world.rank() + 1) / world.size();
  std::uint64_t bytes = 0;
  for (const std::int64_t sample : samples) {
    if (sample < first || sample >= end) bytes += set.extent(sample).bytes;
  }
  return bytes;
}

using Order = std::tuple<ToyKind, Shuffle>;
class DistributedOrder : public Distributed, public testing::WithParamInterface<Order> {};
INSTANTIATE_TEST_SUITE_P(
    Orders, DistributedOrder,
    testing::Combine(testing::Values(ToyKind::fixed, ToyKind::variable, ToyKind::jpeg),
                     testing::Values(Shuffle::full, Shuffle::block, Shuffle::off)));

TEST_P(DistributedOrder, AllModesGiveTheSameBatches) {
  const auto [kind, shuffle] = GetParam();
  const SharedShards shards(*world_, kind, kSamples);
  const auto distributed = open_sample_store(shards.path(), CacheMode::distributed, *world_, 2, 12);
  const auto node = open_sample_store(shards.path(), CacheMode::node, *world_, 2, 12);
  const auto stream = open_sample_store(shards.path(), CacheMode::none, *world_, 1, 12);
  const ReadStatistics made = distributed->take_read_statistics();
  const std::int64_t begin = kSamples * world_->rank() / world_->size();
  const std::int64_t end = kSamples * (world_->rank() + 1) / world_->size();
  const ShardSet set(shards.path());
  EXPECT_EQ(made.bytes_read, set.stored_bytes(begin, end - begin)) << "a rank reads only its part";

  LoaderConfig late = config();
  late.shuffle = shuffle;
  late.first_step = 3;
  late.threads = 3;
  TrainingLoader a(*distributed, late);
  TrainingLoader b(*node, late);
  TrainingLoader c(*stream, late);
  std::uint64_t foreign = 0;
  for (std::int64_t step = late.first_step; step < late.end_step; ++step) {
    const ViewBatch& batch = a.next();
    foreign += foreign_bytes(set, batch.sample_index, *world_);
    for (TrainingLoader* other : {&b, &c}) {
      const ViewBatch& expected = other->next();
      ASSERT_EQ(batch.step, expected.step);
      EXPECT_EQ(batch.sample_index, expected.sample_index);
      EXPECT_EQ(batch.labels, expected.labels);
      EXPECT_TRUE(same(batch.views, expected.views)) << "step " << step;
    }
  }
  const ReadStatistics cost = a.take_read_statistics();
  EXPECT_EQ(cost.bytes_fetched, foreign);
  EXPECT_EQ(cost.bytes_read, 0u);
  EXPECT_GT(cost.seconds, 0.0);
  EXPECT_EQ(a.take_read_statistics().bytes_fetched, 0u);
}

TEST_F(Distributed, LoadersStopInStepWhereverTheirReadingThreadsAre) {
  const SharedShards shards(*world_, ToyKind::variable, kSamples);
  const auto store = open_sample_store(shards.path(), CacheMode::distributed, *world_, 1, 12);
  const auto stream = open_sample_store(shards.path(), CacheMode::none, *world_, 1, 12);
  for (int taken = 0; taken < 6; ++taken) {
    {
      TrainingLoader loader(*store, config());
      for (int step = 0; step < taken; ++step) loader.next();
      // Some ranks have time to read ahead, others are stopped while they read.
      if ((taken + world_->rank()) % 2 == 1) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
      }
    }
    // No message is left over that could reach the next loader.
    LoaderConfig next = config();
    next.first_step = taken;
    next.end_step = taken + 2;
    TrainingLoader loader(*store, next);
    TrainingLoader expected(*stream, next);
    for (int step = 0; step < 2; ++step) {
      EXPECT_TRUE(same(loader.next().views, expected.next().views)) << "after " << taken;
    }
  }
}

TEST_F(Distributed, UnwindingWaitsForNoOtherRank) {
  const SharedShards shards(*world_, ToyKind::fixed, kSamples);
  const auto start = std::chrono::steady_clock::now();
  try {
    const auto store = open_sample_store(shards.path(), CacheMode::distributed, *world_, 1, 12);
    // The last rank never loads: the others' reading threads wait for its samples when they unwind.
    std::optional<TrainingLoader> loader;
    if (world_->rank() + 1 < world_->size()) loader.emplace(*store, config());
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    fail("failed on purpose");
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "failed on purpose");
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST_F(Distributed, EvaluationVisitsEachRanksOwnPart) {
  const SharedShards shards(*world_, ToyKind::jpeg, kSamples);
  const auto store = open_sample_store(shards.path(), CacheMode::distributed, *world_, 1, 8);
  const auto stream = open_sample_store(shards.path(), CacheMode::none, *world_, 1, 8);
  const EvaluationLoaderConfig images{
      .image_size = 8, .batch_size = 8, .rank = world_->rank(), .world_size = world_->size()};
  EvaluationLoader loader(*store, images);
  EvaluationLoader expected(*stream, images);
  while (const EvaluationBatch* batch = loader.next()) {
    const EvaluationBatch* other = expected.next();
    ASSERT_NE(other, nullptr);
    EXPECT_EQ(batch->first_sample, other->first_sample);
    EXPECT_EQ(batch->labels, other->labels);
    EXPECT_TRUE(same(batch->images, other->images));
  }
  EXPECT_EQ(expected.next(), nullptr);
  EXPECT_EQ(store->take_read_statistics().bytes_fetched, 0u);
}

TEST_F(Distributed, RefusesALoaderWithoutAllRanksOfTheFetchGroup) {
  const SharedShards shards(*world_, ToyKind::fixed, kSamples);
  const auto store = open_sample_store(shards.path(), CacheMode::distributed, *world_, 1, 12);
  EXPECT_EQ(store->group().ranks, world_->size());
  EXPECT_EQ(store->group().rank, world_->rank());
  if (world_->size() == 1) return;
  LoaderConfig alone = config();
  alone.rank = 0;
  alone.world_size = 1;
  EXPECT_THROW(TrainingLoader(*store, alone), Error);
  EXPECT_THROW(store->fetch({0}, 0), Error);
}

}  // namespace
}  // namespace simclr
