#include "train/core_usage.hpp"

#include <gtest/gtest.h>

namespace simclr {
namespace {

CoreSet cores(int first, int end) {
  CoreSet set;
  for (int core = first; core < end; ++core) set.set(static_cast<std::size_t>(core));
  return set;
}

TEST(CoreUsage, ReadsBackItsText) {
  const RankCores rank{"node-7.cluster", cores(3, 1000), 1024};
  const RankCores back = parse_rank_cores(to_text(rank));
  EXPECT_EQ(back.host, rank.host);
  EXPECT_EQ(back.cores, rank.cores);
  EXPECT_EQ(back.cores_of_job, rank.cores_of_job);
}

TEST(CoreUsage, DividesSharedCoresAmongRanks) {
  EXPECT_EQ(threads_of({{"a", cores(0, 8)}}, 0), 8);
  EXPECT_EQ(threads_of({{"a", cores(0, 8)}, {"a", cores(0, 8)}, {"a", cores(0, 8)}}, 2), 2);
  EXPECT_EQ(threads_of({{"a", cores(0, 4)}, {"a", cores(4, 10)}}, 0), 4);
  EXPECT_EQ(threads_of({{"a", cores(0, 4)}, {"a", cores(4, 10)}}, 1), 6);
  EXPECT_EQ(threads_of({{"a", cores(0, 4)}, {"b", cores(0, 4)}}, 1), 4);
  EXPECT_EQ(threads_of({{"a", cores(0, 1)}, {"a", cores(0, 1)}}, 1), 1);
  EXPECT_EQ(threads_of({{"a", CoreSet()}}, 0), 1);
}

TEST(CoreUsage, WarnsAboutCoresThatNoRankMayUse) {
  const std::string warning =
      idle_cores_warning({{"a", cores(0, 64), 64}, {"b", cores(0, 1), 64}, {"b", cores(1, 2), 64}});
  EXPECT_TRUE(warning.starts_with("b: the launcher binds the 2 ranks there to 2 of 64 cores"))
      << warning;
  EXPECT_NE(warning.find("--bind-to none"), std::string::npos) << warning;
  EXPECT_NE(warning.find("--map-by slot:PE=N"), std::string::npos) << warning;
}

TEST(CoreUsage, DoesNotWarnIfAllAreUsedOrUnknown) {
  EXPECT_EQ(idle_cores_warning({{"a", cores(0, 1), 2}, {"a", cores(1, 2), 2}}), "");
  EXPECT_EQ(idle_cores_warning({{"a", cores(0, 2), 2}, {"a", cores(0, 2), 2}}), "");
  EXPECT_EQ(idle_cores_warning({{"a", cores(0, 8), 4}}), "");
  EXPECT_EQ(idle_cores_warning({{"a", cores(0, 1), 0}}), "");
  EXPECT_EQ(idle_cores_warning({{"a", CoreSet(), 4}}), "");
}

}  // namespace
}  // namespace simclr
