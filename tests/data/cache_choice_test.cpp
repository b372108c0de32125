// Which cache is chosen for given sizes.

#include "data/cache_choice.hpp"

#include <gtest/gtest.h>

#include <string>

#include "simclr/core/check.hpp"

namespace simclr {
namespace {

constexpr std::uint64_t kGigabyte = 1'000'000'000;

/// 140 GB over `ranks` ranks, 4 per node, with this much free memory on each node.
CacheSizes sizes(std::uint64_t node_gigabytes, int ranks = 8) {
  const auto share = static_cast<std::uint64_t>(std::min(ranks, 4));
  return {.data = "shards/train",
          .ranks = ranks,
          .set_bytes = 140 * kGigabyte,
          .part_bytes = 140 * kGigabyte / static_cast<std::uint64_t>(ranks),
          .buffer_bytes = kGigabyte / 2,
          .node = {node_gigabytes * kGigabyte, "/dev/shm"},
          .rank = {node_gigabytes * kGigabyte / share, "available memory"}};
}

std::string refusal(CacheMode asked, const CacheSizes& sizes) {
  try {
    choose_cache(asked, sizes);
  } catch (const RefusedError& error) {
    return error.what();
  }
  return "nothing was refused";
}

TEST(CacheChoice, ChoosesOneCopyPerNodeIfItFits) {
  for (const CacheMode asked : {CacheMode::automatic, CacheMode::node}) {
    const CacheChoice choice = choose_cache(asked, sizes(200));
    EXPECT_EQ(choice.mode, CacheMode::node);
    EXPECT_EQ(choice.reason, "takes 140.0 GB of the 200.0 GB that are free on the fullest node");
  }
}

TEST(CacheChoice, ChoosesDistributedIfTheSetDoesNotFitANode) {
  const CacheChoice choice = choose_cache(CacheMode::automatic, sizes(100));
  EXPECT_EQ(choice.mode, CacheMode::distributed);
  EXPECT_EQ(choice.reason,
            "the data set (140.0 GB) does not fit into a node's /dev/shm (100.0 GB free), but 18.0 "
            "GB per "
            "rank fit on 8 ranks");
}

TEST(CacheChoice, UsesDistributedWhenRequested) {
  const CacheChoice choice = choose_cache(CacheMode::distributed, sizes(200));
  EXPECT_EQ(choice.mode, CacheMode::distributed);
  EXPECT_EQ(choice.reason,
            "takes 18.0 GB of the 50.0 GB that are free per rank on the fullest node");
  EXPECT_EQ(choose_cache(CacheMode::distributed, sizes(200, 1)).mode, CacheMode::distributed);
}

TEST(CacheChoice, AutomaticNeverChoosesNone) {
  const std::string message = refusal(CacheMode::automatic, sizes(50));
  EXPECT_EQ(
      message,
      "shards/train: the data set (140.0 GB) does not fit into a node's /dev/shm (50.0 GB free), "
      "and 18.0 GB per rank do not fit into a rank's share of available memory (12.5 GB free); use "
      "more nodes, --cache none with --shuffle block, more memory, or smaller images (pack "
      "--resize-short)");
  EXPECT_NE(refusal(CacheMode::automatic, sizes(100, 1)).find("this node's /dev/shm"),
            std::string::npos)
      << "a single rank cannot distribute the set";
}

TEST(CacheChoice, RefusesARequestedModeThatDoesNotFit) {
  EXPECT_NE(refusal(CacheMode::node, sizes(100)).find("use --cache distributed: 18.0 GB per rank"),
            std::string::npos);
  EXPECT_NE(refusal(CacheMode::node, sizes(50)).find("--cache none"), std::string::npos);
  const std::string spread = refusal(CacheMode::distributed, sizes(60));
  EXPECT_NE(spread.find("18.0 GB per rank (0.5 GB of it buffers)"), std::string::npos) << spread;
  EXPECT_NE(spread.find("15.0 GB free"), std::string::npos) << spread;
}

TEST(CacheChoice, CountsTheBuffersOfADistributedCache) {
  CacheSizes tight = sizes(100);
  tight.rank.bytes = 20 * kGigabyte;  // nine tenths of it are 18 GB
  EXPECT_EQ(choose_cache(CacheMode::automatic, tight).mode, CacheMode::distributed);
  tight.buffer_bytes += 1;
  EXPECT_THROW(choose_cache(CacheMode::automatic, tight), RefusedError);
}

}  // namespace
}  // namespace simclr
