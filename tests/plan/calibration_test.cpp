// The measurement of this machine: it ends in time, and says where it cannot be trusted.

#include "plan/timed_ops.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "plan_cases.hpp"
#include "simclr/core/check.hpp"

namespace simclr::plan {
namespace {

/// A clock that stands nearly still for so many readings, and then jumps far ahead.
std::function<double()> clock_that_jumps_after(int readings) {
  return [readings, n = std::make_shared<int>(0)] { return ++*n <= readings ? 1e-6 * *n : 1e6; };
}

TEST(Calibration, EndsWhenTheTimeIsUp) {
  // A network of some 200 ops reads the clock three times for each op of each of six steps.
  const MeasuredMachine measured = measure_machine({.clock = clock_that_jumps_after(1500)});
  // A busy machine has another warning before this one.
  ASSERT_FALSE(measured.warnings.empty());
  EXPECT_NE(measured.warnings.back().find("1 of 8 networks could be timed within"),
            std::string::npos)
      << measured.warnings.back();
  EXPECT_EQ(measured.machine.rendering.size(), 4U);
  ASSERT_FALSE(measured.machine.efficiencies.empty());
  for (const Efficiency& e : measured.machine.efficiencies) EXPECT_GT(e.share, 0) << e.shape.kind;
  EXPECT_TRUE(missing_kinds(test::small_step(1), measured.machine).empty());
}

TEST(Calibration, NamesOpsThatItHadNoTimeFor) {
  const MeasuredMachine measured = measure_machine({.clock = clock_that_jumps_after(1)});
  EXPECT_TRUE(measured.machine.efficiencies.empty());
  const auto missing = missing_kinds(test::small_step(1), measured.machine);
  EXPECT_TRUE(std::ranges::find(missing, "conv_forward") != missing.end());
  PlanRequest request{.machine = "measured", .samples = 100, .measuring_seconds = 0};
  request.config->encoder = "resnet18";
  request.config->width = 0.125;
  request.config->image_size = 16;
  request.config->batch_size = 4;
  try {
    make_plan(request);
    ADD_FAILURE() << "planned with times that were not measured";
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find("too busy"), std::string::npos) << message;
    EXPECT_NE(message.find("conv_forward"), std::string::npos) << message;
  }
}

/// An op of 1 GFLOP without bytes to speak of.
TimedOp convolution(std::vector<double> seconds) {
  return {.text = "a convolution",
          .shape = {.kind = "conv_forward"},
          .demand = {.flops = 1e9, .padded_flops = 1e9, .bytes = 8},
          .seconds = std::move(seconds)};
}

TEST(Calibration, RaisesAPeakThatAnOpExceeds) {
  Machine machine = test::round_machine();
  machine.kind = DeviceKind::cpu;
  machine.f32_gflops = 50;  // measured while another process had the core
  machine.efficiencies.clear();
  TimedOp slower = convolution({0.02, 0.02, 0.02});
  slower.text = "another convolution";
  set_shares(machine, {convolution({0.01, 0.01, 0.02}), slower, convolution({})});
  EXPECT_DOUBLE_EQ(machine.f32_gflops, 100);
  ASSERT_EQ(machine.efficiencies.size(), 2U);
  EXPECT_DOUBLE_EQ(machine.efficiencies[0].share, 1);
  EXPECT_DOUBLE_EQ(machine.efficiencies[1].share, 0.5);
}

TEST(Calibration, SaysWhichTimingsScatterAndThatTheMachineIsBusy) {
  const std::vector<TimedOp> steady{convolution({0.010, 0.011, 0.010, 0.011, 0.010})};
  EXPECT_TRUE(describe({.waiting_share = 0.01}, steady).empty());
  const std::vector<TimedOp> disturbed{convolution({0.010, 0.018, 0.020, 0.010, 0.030})};
  const auto scatters = describe({.waiting_share = 0.01}, disturbed);
  ASSERT_EQ(scatters.size(), 1U);
  EXPECT_NE(scatters[0].find("busy: the timings scatter (conv_forward by 80 %)"), std::string::npos)
      << scatters[0];
  const auto waits = describe({.waiting_share = 0.6}, steady);
  ASSERT_EQ(waits.size(), 1U);
  EXPECT_NE(waits[0].find("waited for a core 60 % of the time"), std::string::npos) << waits[0];
}

}  // namespace
}  // namespace simclr::plan
