// The node store and reading over MPI-IO, on several ranks: every rank sees every stored byte.

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "shared_shards.hpp"
#include "simclr/comm/session.hpp"
#include "simclr/core/check.hpp"
#include "simclr/data/loader.hpp"
#include "simclr/io/shard_set.hpp"

namespace simclr {
namespace {

constexpr std::int64_t kSamples = 103;

class OnRanks : public testing::TestWithParam<ToyKind> {
 protected:
  std::unique_ptr<Communicator> world_ = make_world_communicator();
};
INSTANTIATE_TEST_SUITE_P(Kinds, OnRanks,
                         testing::Values(ToyKind::fixed, ToyKind::variable, ToyKind::jpeg));

TEST_P(OnRanks, NodeStoreHasTheBytesOfTheShards) {
  const SharedShards shards(*world_, GetParam(), kSamples);
  const auto node = open_sample_store(shards.path(), CacheMode::node, *world_, 2);
  const auto stream = open_sample_store(shards.path(), CacheMode::none, *world_, 1);
  std::vector<std::int64_t> all(kSamples);
  std::iota(all.begin(), all.end(), std::int64_t{0});
  const auto cached = node->fetch(all, 0);
  const auto stored = stream->fetch(all, 0);
  for (std::size_t i = 0; i < cached.size(); ++i) {
    EXPECT_EQ(cached[i].height, stored[i].height);
    EXPECT_EQ(cached[i].width, stored[i].width);
    ASSERT_EQ(cached[i].bytes.size(), stored[i].bytes.size());
    EXPECT_TRUE(std::equal(cached[i].bytes.begin(), cached[i].bytes.end(), stored[i].bytes.begin()))
        << "sample " << i << " on rank " << world_->rank();
  }
  const ReadStatistics cost = node->take_read_statistics();
  const auto total = static_cast<double>(ShardSet(shards.path()).stored_bytes(0, kSamples));
  EXPECT_NEAR(static_cast<double>(cost.bytes_read), total / world_->size(), 0.1 * total)
      << "the ranks of a node share the reading";
}

TEST_P(OnRanks, EveryReadMethodGivesTheSameBytes) {
  const SharedShards shards(*world_, GetParam(), kSamples);
  const ShardSet set(shards.path());
  // Every rank reads a different range that spans shards; the last of several ranks reads nothing.
  const std::int64_t rank = world_->rank();
  const bool idle = world_->size() > 1 && rank == world_->size() - 1;
  const std::int64_t first = 5 * rank;
  const std::int64_t count = idle ? 0 : kSamples - 7 - first;
  std::vector<std::byte> expected(set.stored_bytes(first, count));
  set.read(first, count, expected);
  for (const auto method :
       {ParallelRead::direct, ParallelRead::independent, ParallelRead::collective}) {
    std::vector<std::byte> bytes(expected.size(), std::byte{0xEE});
    read_in_parallel(set, *world_, method, first, count, bytes);
    EXPECT_EQ(bytes, expected) << name_of(method) << " on rank " << rank;
  }
}

TEST_P(OnRanks, ViewsDoNotDependOnTheNumberOfRanks) {
  const SharedShards shards(*world_, GetParam(), kSamples);
  const auto store = open_sample_store(shards.path(), CacheMode::automatic, *world_, 1);
  LoaderConfig config;
  config.augmentation = simclr_augmentation(8);
  config.batch_size = 8;
  config.end_step = 3;
  config.seed = 2;
  TrainingLoader whole(*store, config);
  config.rank = world_->rank();
  config.world_size = world_->size();
  TrainingLoader part(*store, config);
  const std::size_t n = 8 / static_cast<std::size_t>(world_->size());
  for (int step = 0; step < 3; ++step) {
    const ViewBatch& all = whole.next();
    const ViewBatch& mine = part.next();
    for (std::size_t row = 0; row < 2 * n; ++row) {
      const std::size_t global = row / n * 8 + static_cast<std::size_t>(config.rank) * n + row % n;
      EXPECT_TRUE(std::ranges::equal(mine.views.values<float>().subspan(row * 192, 192),
                                     all.views.values<float>().subspan(global * 192, 192)));
    }
  }
}

}  // namespace
}  // namespace simclr
