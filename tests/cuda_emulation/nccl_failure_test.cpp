// What becomes of a rank whose peers fail or fall silent.

#include <cuda_runtime.h>
#include <gtest/gtest.h>
#include <nccl.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <thread>

#include "availability.hpp"
#include "communication.hpp"
#include "memory.hpp"
#include "simclr/backend/executor.hpp"
#include "simclr/comm/session.hpp"
#include "simclr/core/activity.hpp"
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
      [&] {
        enqueue_download(info, memory_.data(), buffer_span(std::span(values)), device_);
        device_.wait(device_.stream(Lane::compute));
      },
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

/// Sums of batch normalization, of the loss and of a bucket.
Program collectives() {
  Program program;
  const auto tensor = [&](std::string name, const Shape& shape, DType dtype, Storage storage) {
    program.tensors.push_back(
        {.name = std::move(name), .shape = shape, .dtype = dtype, .storage = storage});
    return TensorId{static_cast<std::int32_t>(program.tensors.size()) - 1};
  };
  const TensorId y = tensor("y", {2, 1, 1, 8}, DType::f32, Storage::input);
  const TensorId mean = tensor("mean", {8}, DType::f32, Storage::running);
  const TensorId stats = tensor("stats", {1, 2, 8}, DType::f64, Storage::output);
  const TensorId loss = tensor("loss", {4}, DType::f64, Storage::output);
  const TensorId gradients = tensor("gradients", {100}, DType::f32, Storage::gradients);
  program.running_elements = 8;
  program.parameter_elements = program.trained_elements = 100;
  program.ops = {BnStatistics{.y = y, .running_mean = mean, .stats = stats, .groups = {}},
                 AllReduce{.buffer = stats, .group = RankGroup::bn_group},
                 AllReduce{.buffer = loss},
                 ReduceGradients{.gradients = gradients, .begin = 0, .count = 100},
                 WaitForGradients{.gradients = gradients}};
  program.labels = {"bn", "bn", "loss", "bucket 0", "buckets"};
  return program;
}

/// What is said when a replayed graph hangs in its collective number `stuck`, and the op of which
/// the watchdog knows meanwhile.
std::pair<std::string, std::int32_t> hang_in_graph(int stuck) {
  const auto ranks = make_world_communicator();
  const auto backend = make_backend(one_device_each(node_place(*ranks)));
  const auto world = backend->make_communicator(*ranks, Lane::compute);
  const auto lane = backend->make_communicator(*ranks, Lane::gradients);
  Executor executor(collectives(), *backend,
                    {.world = world.get(), .bn_group = world.get(), .gradient_lane = lane.get()});
  const std::size_t graphs = emulation::graph_launches();
  for (int time = 0; time < 2; ++time) executor.run(0, 5);
  emulation::hang_nccl_after(stuck);
  executor.run(0, 5);
  EXPECT_EQ(emulation::graph_launches(), graphs + 2);
  std::string text;
  try {
    backend->wait();
  } catch (const Error& error) {
    text = error.what();
  }
  const std::int32_t op = activity().now().op;
  emulation::hang_nccl_after(-1);
  emulation::hang_streams(false);
  return {text, op};
}

TEST(NcclFailureInAGraph, IsToldWithTheCollectiveThatTheDeviceHasComeTo) {
  const std::string graph =
      "the graph of steps 0 to 4 (bn_statistics bn ... wait_for_gradients buckets)";
  const std::vector<std::pair<std::string, std::int32_t>> told{
      {", which has come to all_reduce bn", 1},
      {", which has come to all_reduce loss", 2},
      {", which has come to all_reduce loss, on the gradients lane to reduce_gradients bucket 0",
       2}};
  for (std::size_t stuck = 0; stuck < told.size(); ++stuck) {
    const auto [text, op] = hang_in_graph(static_cast<int>(stuck));
    const std::string end = graph + told[stuck].first;
    EXPECT_TRUE(text.ends_with(end)) << text;
    EXPECT_EQ(op, told[stuck].second);
  }
}

}  // namespace
}  // namespace simclr::cuda
