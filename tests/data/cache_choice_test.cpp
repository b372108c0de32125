// Which cache a data set gets, from sizes alone.

#include "data/cache_choice.hpp"

#include <gtest/gtest.h>

#include <string>

#include "simclr/core/check.hpp"

namespace simclr {
namespace {

constexpr std::uint64_t kGigabyte = 1'000'000'000;

/// 140 GB over 8 ranks, of which 4 share a node with this much memory free.
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

TEST(CacheChoice, OneCopyANodeWhereItFits) {
  for (const CacheMode asked : {CacheMode::automatic, CacheMode::node}) {
    const CacheChoice choice = choose_cache(asked, sizes(200));
    EXPECT_EQ(choice.mode, CacheMode::node);
    EXPECT_EQ(choice.reason, "140.0 GB of 200.0 GB free on the fullest node");
  }
}

TEST(CacheChoice, SpreadOverTheRanksWhereItDoesNot) {
  const CacheChoice choice = choose_cache(CacheMode::automatic, sizes(100));
  EXPECT_EQ(choice.mode, CacheMode::distributed);
  EXPECT_EQ(
      choice.reason,
      "140.0 GB do not fit into a node's /dev/shm (100.0 GB free), but 18.0 GB a rank fit on 8 "
      "ranks");
}

TEST(CacheChoice, SpreadOverTheRanksWhenAskedFor) {
  const CacheChoice choice = choose_cache(CacheMode::distributed, sizes(200));
  EXPECT_EQ(choice.mode, CacheMode::distributed);
  EXPECT_EQ(choice.reason, "18.0 GB of 50.0 GB free a rank on the fullest node");
  EXPECT_EQ(choose_cache(CacheMode::distributed, sizes(200, 1)).mode, CacheMode::distributed);
}

TEST(CacheChoice, AutomaticallyNoneIsNeverTaken) {
  const std::string message = refusal(CacheMode::automatic, sizes(50));
  EXPECT_EQ(
      message,
      "shards/train: 140.0 GB do not fit into a node's /dev/shm (50.0 GB free), nor 18.0 GB a "
      "rank into its share of available memory (12.5 GB free); use more nodes, --cache none "
      "with --shuffle block, more memory, or smaller images (pack --resize-short)");
  EXPECT_NE(refusal(CacheMode::automatic, sizes(100, 1)).find("this node's /dev/shm"),
            std::string::npos)
      << "one rank has nothing to spread over";
}

TEST(CacheChoice, WhatWasAskedForIsNotReplaced) {
  EXPECT_NE(refusal(CacheMode::node, sizes(100)).find("use --cache distributed: 18.0 GB a rank"),
            std::string::npos);
  EXPECT_NE(refusal(CacheMode::node, sizes(50)).find("--cache none"), std::string::npos);
  const std::string spread = refusal(CacheMode::distributed, sizes(60));
  EXPECT_NE(spread.find("18.0 GB a rank (0.5 GB of them buffers)"), std::string::npos) << spread;
  EXPECT_NE(spread.find("15.0 GB free"), std::string::npos) << spread;
}

TEST(CacheChoice, BuffersCountBesideThePart) {
  CacheSizes tight = sizes(100);
  tight.rank.bytes = 20 * kGigabyte;  // nine tenths of it are 18 GB
  EXPECT_EQ(choose_cache(CacheMode::automatic, tight).mode, CacheMode::distributed);
  tight.buffer_bytes += 1;
  EXPECT_THROW(choose_cache(CacheMode::automatic, tight), RefusedError);
}

}  // namespace
}  // namespace simclr
