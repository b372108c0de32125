// The runner: eager, captured, replayed.

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include "launch.hpp"
#include "memory.hpp"
#include "steps.hpp"
#include "streams.hpp"

namespace simclr::cuda {
namespace {

__global__ void add_to(float* value, float summand) { *value += summand; }

class RunnerOnDevice : public ::testing::Test {
 protected:
  RunnerOnDevice() { set(0); }

  [[nodiscard]] float value() {
    float host = -1;
    enqueue_download(info_, memory_.data(), {&host, 1, DType::f32}, device_);
    device_.wait(device_.stream(Lane::compute));
    return host;
  }
  void set(float host) {
    enqueue_upload(info_, memory_.data(), {&host, 1, DType::f32}, device_);
    device_.wait(device_.stream(Lane::compute));
  }

  Prepared add(float summand) {
    auto* at = reinterpret_cast<float*>(memory_.data());
    return make_step(
        [this, at, summand] { launch(add_to, {}, device_.stream(Lane::compute), at, summand); });
  }
  Prepared look(std::vector<float>& seen, bool capturable) {
    Prepared prepared = make_step([this, &seen] { seen.push_back(value()); });
    prepared.capturable = capturable;
    return prepared;
  }
  template <class... Steps>
  std::unique_ptr<Runner> make(Steps... given) {
    std::vector<Prepared> steps;
    (steps.push_back(std::move(given)), ...);
    std::vector<std::string> names;
    for (std::size_t i = 0; i < steps.size(); ++i) names.push_back("op" + std::to_string(i));
    return make_runner(std::move(steps), std::move(names), {}, device_);
  }
  /// Graphs launched by the call.
  static std::size_t graphs(const std::function<void()>& call) {
    const std::size_t before = emulation::graph_launches();
    call();
    return emulation::graph_launches() - before;
  }

  Device device_{CudaOptions{}};
  const TensorInfo info_{.name = "value", .shape = {1}, .dtype = DType::f32};
  Buffer memory_ = allocate_device(sizeof(float), "a test");
};

TEST_F(RunnerOnDevice, RunsThenCapturesThenReplays) {
  const auto runner = make(add(1), add(10), add(100));
  const auto run_all = [&] { runner->run(0, 3); };
  EXPECT_EQ(graphs(run_all), 0U);
  EXPECT_EQ(value(), 111);
  EXPECT_EQ(graphs(run_all), 1U);
  EXPECT_EQ(value(), 222);
  EXPECT_EQ(graphs(run_all), 1U);
  EXPECT_EQ(value(), 333);
}

TEST_F(RunnerOnDevice, KeepsRangesApart) {
  const auto runner = make(add(1), add(10), add(100), add(1000));
  for (int time = 0; time < 3; ++time) {
    set(0);
    runner->run(0, 2);
    EXPECT_EQ(value(), 11);
    runner->run(1, 4);
    EXPECT_EQ(value(), 1121);
    runner->run(2, 2);
    EXPECT_EQ(value(), 1121);
  }
}

TEST_F(RunnerOnDevice, SplitsGraphsAtWhatCannotBeCaptured) {
  std::vector<float> seen;
  const auto runner = make(add(1), add(1), look(seen, false), add(1), look(seen, false));
  const auto run_all = [&] { runner->run(0, 5); };
  EXPECT_EQ(graphs(run_all), 0U);
  EXPECT_EQ(graphs(run_all), 2U);
  EXPECT_EQ(graphs(run_all), 2U);
  EXPECT_EQ(seen, (std::vector<float>{2, 3, 5, 6, 8, 9}));
}

TEST_F(RunnerOnDevice, NeverCapturesSingleSteps) {
  const auto runner = make(add(1), add(1));
  for (int time = 0; time < 4; ++time) EXPECT_EQ(graphs([&] { runner->run(1, 2); }), 0U);
  EXPECT_EQ(value(), 4);
}

TEST_F(RunnerOnDevice, NamesTheStepThatBreaksACapture) {
  std::vector<float> seen;
  const auto runner = make(add(1), look(seen, true), add(1));
  runner->run(0, 3);
  try {
    runner->run(0, 3);
    ADD_FAILURE() << "a step that waits cannot be captured";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("step 1 (op1) cannot be captured"), std::string::npos)
        << error.what();
  }
  // The stream runs again.
  runner->run(0, 1);
  EXPECT_EQ(value(), 3);
}

TEST_F(RunnerOnDevice, JoinsWhatAGraphLeavesOnTheOtherLane) {
  auto* at = reinterpret_cast<float*>(memory_.data());
  const auto fork = std::make_shared<Event>();
  auto beside = make_step([this, at, fork] {
    fork->record(device_.stream(Lane::compute));
    fork->make_wait(device_.stream(Lane::gradients));
    launch(add_to, {}, device_.stream(Lane::gradients), at, 5.0F);
  });
  const auto runner = make(add(1), std::move(beside));
  for (int time = 1; time < 4; ++time) {
    runner->run(0, 2);
    device_.wait(device_.stream(Lane::gradients));
    EXPECT_EQ(value(), static_cast<float>(6 * time));
  }
}

}  // namespace
}  // namespace simclr::cuda
