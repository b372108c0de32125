// Machine files.

#include "simclr/plan/machine.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "plan_cases.hpp"
#include "simclr/core/check.hpp"

namespace simclr {
namespace {

std::filesystem::path in_temporary(const char* name) {
  return std::filesystem::path(testing::TempDir()) / name;
}

TEST(Machine, ReadsWhatItWrote) {
  Machine machine = h100_machine();
  machine.rendering = {{.image_size = 32, .blur = true, .nanoseconds_per_pixel = 1.5}};
  machine.efficiencies.push_back(
      {.shape = {"conv_forward", true, 64, 128, 1e5, 3, 2}, .share = 0.8});
  const auto file = in_temporary("plan-machine.json");
  write_machine(file, machine);
  const Machine read = read_machine(file);
  std::filesystem::remove(file);
  EXPECT_EQ(read.name, machine.name);
  EXPECT_EQ(read.origin, file.string());
  EXPECT_EQ(read.kind, DeviceKind::cuda);
  EXPECT_EQ(read.half_gflops, machine.half_gflops);
  EXPECT_EQ(read.between.hop_us, machine.between.hop_us);
  EXPECT_TRUE(read.overlaps_gradients);
  ASSERT_EQ(read.rendering.size(), 1U);
  EXPECT_EQ(read.rendering[0].nanoseconds_per_pixel, 1.5);
  const OpShape shape = read.efficiencies.back().shape;
  EXPECT_EQ(shape.kind, "conv_forward");
  EXPECT_TRUE(shape.half);
  EXPECT_EQ(shape.out_channels, 128);
  EXPECT_EQ(shape.stride, 2);
}

TEST(Machine, RefusesInvalidFiles) {
  const auto file = in_temporary("plan-no-machine.json");
  const auto refusal = [&](const std::string& text) -> std::string {
    std::ofstream(file) << text;
    try {
      read_machine(file);
    } catch (const RefusedError& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_NE(refusal("{").find(file.string()), std::string::npos);
  EXPECT_NE(refusal("{\"format\": \"other\"}").find("format"), std::string::npos);
  EXPECT_NE(refusal("{\"format\": \"simclr-machine\", \"name\": \"x\"}").find("device"),
            std::string::npos);
  Machine machine = test::round_machine();
  machine.f32_gflops = 0;
  write_machine(file, machine);
  EXPECT_THROW(read_machine(file), RefusedError);
  machine = test::round_machine();
  machine.efficiencies.clear();
  write_machine(file, machine);
  EXPECT_THROW(read_machine(file), RefusedError);
  std::filesystem::remove(file);
  EXPECT_THROW(read_machine(file), RefusedError);
}

}  // namespace
}  // namespace simclr
