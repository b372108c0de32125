// What becomes of a rank whose peers fail or fall silent.

#include <cuda_runtime.h>
#include <gtest/gtest.h>
#include <nccl.h>

#include <chrono>
#include <cstdlib>
#include <optional>
#include <thread>

#include "communication.hpp"
#include "memory.hpp"
#include "simclr/comm/session.hpp"
#include "streams.hpp"

namespace simclr::cuda {
namespace {

constexpr double kTimeoutSeconds = 0.2;

CudaOptions one_device_each(const NodePlace& place) {
  setenv("SIMCLR_EMULATED_DEVICES", "2", 0);
  return {.local_rank = place.rank,
          .local_ranks = place.ranks,
          .collectives = Collectives::nccl,
          .timeout_seconds = kTimeoutSeconds};
}

class NcclFailure : public ::testing::Test {
 protected:
  ~NcclFailure() override {
    emulation::fail_nccl(ncclSuccess);
    emulation::hang_streams(false);
    emulation::hang_nccl_aborts(false);
  }

  void reduce() { lane_->all_reduce({memory_.data(), 100, DType::f32}, Reduction::sum); }
  /// They are given up beside what goes on.
  static void expect_communicators(int count) {
    using std::chrono::steady_clock;
    const auto deadline = steady_clock::now() + std::chrono::seconds(30);
    while (emulation::nccl_communicators() != count && steady_clock::now() < deadline) {
      std::this_thread::yield();
    }
    EXPECT_EQ(emulation::nccl_communicators(), count);
  }
  static void expect_error(const std::function<void()>& work, const std::vector<std::string>& parts,
                           std::optional<Cause> cause = {}) {
    try {
      work();
      ADD_FAILURE() << "no error";
    } catch (const Error& error) {
      const std::string text = error.what();
      for (const std::string& part : parts) {
        EXPECT_NE(text.find(part), std::string::npos) << part << " is not in: " << text;
      }
      if (cause) {
        EXPECT_EQ(error.cause(), *cause) << text;
      }
    }
  }

  std::unique_ptr<Communicator> ranks_ = make_world_communicator();
  Device device_{one_device_each(node_place(*ranks_))};
  Buffer memory_ = allocate_device(100 * sizeof(float), "a test");
  std::unique_ptr<Communicator> world_ = make_communicator(*ranks_, Lane::compute, device_);
  std::unique_ptr<Communicator> lane_ = make_communicator(*ranks_, Lane::gradients, device_);
};

TEST_F(NcclFailure, IsNoticedByTheNextCall) {
  reduce();
  emulation::fail_nccl(ncclRemoteError);
  expect_error([&] { reduce(); },
               {"the all-reduce of 100 f32 on the gradients lane", "remote process exited"});
  expect_error([&] { reduce(); }, {"given up before"});
  expect_communicators(1);
}

TEST_F(NcclFailure, IsNoticedWhileTheHostWaits) {
  reduce();
  emulation::fail_nccl(ncclRemoteError);
  emulation::hang_streams(true);
  expect_error([&] { device_.wait(device_.stream(Lane::compute)); },
               {"remote process exited", "the all-reduce of 100 f32 on the gradients lane"},
               Cause::lost_rank);
  expect_communicators(0);
}

TEST_F(NcclFailure, SaysWhatToDoWhereMemoryIsShort) {
  emulation::fail_nccl(ncclUnhandledCudaError, "Cuda failure 2 'out of memory'");
  expect_error([&] { make_communicator(*ranks_, Lane::compute, device_); },
               {"the setting up of rank", "'out of memory'", "MB of device memory are free",
                "a smaller batch or more ranks"},
               Cause::error);
}

TEST_F(NcclFailure, IsAssumedWhenNothingEnds) {
  reduce();
  emulation::hang_streams(true);
  const TensorInfo info{.name = "t", .shape = {100}, .dtype = DType::f32};
  std::vector<float> values(100);
  expect_error(
      [&] { download(info, memory_.data(), buffer_span(std::span(values)), device_); },
      {"nothing has finished for 0.2 s", "the all-reduce of 100 f32 on the gradients lane"});
  expect_communicators(0);
}

TEST_F(NcclFailure, IsToldThoughAnAbortHangs) {
  reduce();
  emulation::hang_nccl_aborts(true);
  emulation::fail_nccl(ncclRemoteError);
  emulation::hang_streams(true);
  expect_error([&] { device_.wait(device_.stream(Lane::compute)); }, {"remote process exited"});
  EXPECT_EQ(emulation::nccl_communicators(), 2);
  emulation::hang_nccl_aborts(false);
  expect_communicators(0);
}

TEST_F(NcclFailure, LeavesNothingBehindWithoutOne) {
  reduce();
  device_.wait(device_.stream(Lane::gradients));
  EXPECT_EQ(emulation::nccl_communicators(), 2);
  world_.reset();
  lane_.reset();
  EXPECT_EQ(emulation::nccl_communicators(), 0);
}

}  // namespace
}  // namespace simclr::cuda
