// What NCCL is asked for, and what is said of it. No ranks are needed.

#include "communication.hpp"

#include <gtest/gtest.h>

#include <cstdlib>

namespace simclr::cuda {
namespace {

constexpr int kNewDriver = 13000;

class NcclEnvironment : public ::testing::Test {
 protected:
  NcclEnvironment() { clear(); }
  ~NcclEnvironment() override { clear(); }

  static void clear() {
    for (const char* variable :
         {"NCCL_LAUNCH_ORDER_IMPLICIT", "NCCL_NVLS_ENABLE", "NCCL_GRAPH_REGISTER"}) {
      unsetenv(variable);
    }
  }
  static void expect_remark(int driver, const std::string& start) {
    const std::vector<std::string> remarks = nccl_remarks(driver);
    ASSERT_EQ(remarks.size(), 1U) << start;
    EXPECT_EQ(remarks[0].substr(0, start.size()), start);
  }
};

TEST_F(NcclEnvironment, AsksForOneOrderAndExactSums) {
  set_nccl_environment();
  EXPECT_STREQ(std::getenv("NCCL_LAUNCH_ORDER_IMPLICIT"), "1");
  EXPECT_STREQ(std::getenv("NCCL_NVLS_ENABLE"), "0");
  EXPECT_STREQ(std::getenv("NCCL_GRAPH_REGISTER"), "0");
  EXPECT_TRUE(nccl_keeps_host_order());
  EXPECT_EQ(nccl_remarks(kNewDriver), std::vector<std::string>());
}

TEST_F(NcclEnvironment, LeavesWhatIsSetAndSaysWhatItMeans) {
  setenv("NCCL_NVLS_ENABLE", "2", 1);
  set_nccl_environment();
  EXPECT_STREQ(std::getenv("NCCL_NVLS_ENABLE"), "2");
  expect_remark(kNewDriver, "NCCL_NVLS_ENABLE=2: a restart may not repeat");
  clear();
  setenv("NCCL_GRAPH_REGISTER", "1", 1);
  set_nccl_environment();
  expect_remark(kNewDriver, "NCCL_GRAPH_REGISTER=1: a restart may not repeat");
  clear();
  setenv("NCCL_LAUNCH_ORDER_IMPLICIT", "0", 1);
  set_nccl_environment();
  EXPECT_FALSE(nccl_keeps_host_order());
  expect_remark(kNewDriver, "NCCL before 2.26, or NCCL_LAUNCH_ORDER_IMPLICIT=0: gradient sums");
}

TEST_F(NcclEnvironment, SaysWhatOldDriversCost) {
  set_nccl_environment();
  EXPECT_TRUE(nccl_remarks(12090).empty());
  expect_remark(12080,
                "driver 12.8: gradient sums and the collectives of ops wait for one another");
}

TEST_F(NcclEnvironment, AdvisesWhereMemoryIsShort) {
  EXPECT_EQ(nccl_advice("connection refused"), "");
  EXPECT_NE(nccl_advice("Failed to CUDA calloc 1024 bytes").find("device memory are free"),
            std::string::npos);
  EXPECT_NE(nccl_advice("Error while creating shared memory segment /dev/shm/nccl-x (size 1)")
                .find("--cache distributed or none"),
            std::string::npos);
}

}  // namespace
}  // namespace simclr::cuda
