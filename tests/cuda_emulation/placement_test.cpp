// Which device a rank takes, and over what ranks communicate.

#include <gtest/gtest.h>

#include "communication.hpp"
#include "device.hpp"

namespace simclr::cuda {
namespace {

TEST(ChooseDevice, GivesEachLocalRankItsOwn) {
  for (int rank = 0; rank < 4; ++rank) {
    EXPECT_EQ(choose_device({.local_rank = rank, .local_ranks = 4}, 4), rank);
    EXPECT_EQ(choose_device({.local_rank = rank, .local_ranks = 4}, 8), rank);
  }
}

TEST(ChooseDevice, TakesTheOneThatALauncherShows) {
  for (int rank = 0; rank < 4; ++rank) {
    EXPECT_EQ(choose_device({.local_rank = rank, .local_ranks = 4}, 1), 0);
  }
}

TEST(ChooseDevice, SharesOnlyWhenAsked) {
  EXPECT_THROW((void)choose_device({.local_rank = 0, .local_ranks = 4}, 2), RefusedError);
  EXPECT_THROW(
      (void)choose_device({.local_rank = 0, .local_ranks = 4, .collectives = Collectives::nccl}, 2),
      RefusedError);
  EXPECT_EQ(choose_device({.local_rank = 3, .local_ranks = 4, .share_device = true}, 2), 1);
  EXPECT_EQ(choose_device({.local_rank = 2, .local_ranks = 4, .collectives = Collectives::mpi}, 2),
            0);
}

RankPlace place(const std::string& machine, const std::string& device,
                const std::string& nccl_host_id = "") {
  return {.host = "host-" + machine,
          .machine = machine,
          .device = device,
          .nccl_host_id = nccl_host_id};
}

const std::vector<RankPlace>& apart() {
  static const std::vector<RankPlace> places{place("a", "17"), place("a", "65"), place("b", "17")};
  return places;
}
const std::vector<RankPlace>& shared() {
  static const std::vector<RankPlace> places{place("a", "17"), place("b", "17"), place("a", "17"),
                                             place("a", "17")};
  return places;
}

TEST(ChooseCollectives, IsNcclWhereEachRankHasADevice) {
  EXPECT_EQ(shared_device(apart()), "");
  EXPECT_EQ(choose_collectives({}, apart()), Collectives::nccl);
  EXPECT_EQ(choose_collectives({.collectives = Collectives::nccl}, apart()), Collectives::nccl);
  EXPECT_EQ(choose_collectives({.collectives = Collectives::mpi}, apart()), Collectives::mpi);
}

TEST(ChooseCollectives, IsMpiWhereRanksShareADevice) {
  EXPECT_EQ(shared_device(shared()), "ranks 0, 2 and 3 on device 17 of host host-a");
  EXPECT_EQ(choose_collectives({}, shared()), Collectives::mpi);
  EXPECT_EQ(choose_collectives({.share_device = true}, shared()), Collectives::mpi);
}

TEST(ChooseCollectives, RefusesNcclOnASharedDevice) {
  for (const bool share : {false, true}) {
    try {
      (void)choose_collectives({.share_device = share, .collectives = Collectives::nccl}, shared());
      ADD_FAILURE() << "NCCL cannot do that";
    } catch (const RefusedError& error) {
      const std::string text = error.what();
      for (const char* part : {"ranks 0, 2 and 3", "--collectives mpi", "--share-device",
                               "one rank a GPU", "NCCL_HOSTID"}) {
        EXPECT_NE(text.find(part), std::string::npos) << text;
      }
    }
  }
}

TEST(ChooseCollectives, AllowsNcclBetweenRanksThatLookLikeHosts) {
  const CudaOptions asked{.share_device = true, .collectives = Collectives::nccl};
  const std::vector<RankPlace> distinct{place("a", "17", "x"), place("a", "17", "y")};
  EXPECT_EQ(choose_collectives(asked, distinct), Collectives::nccl);
  const std::vector<RankPlace> same{place("a", "17", "x"), place("a", "17", "x")};
  EXPECT_THROW((void)choose_collectives(asked, same), RefusedError);
  EXPECT_THROW((void)choose_collectives({.collectives = Collectives::nccl}, distinct),
               RefusedError);
}

}  // namespace
}  // namespace simclr::cuda
