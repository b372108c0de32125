// Machine files.

#include "simclr/plan/machine.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <tuple>

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
  const auto expect_refused = [&](const char* field, const std::function<void(Machine&)>& change) {
    Machine machine = test::round_machine();
    machine.rendering = {{.image_size = 32, .blur = true, .nanoseconds_per_pixel = 1.5}};
    change(machine);
    write_machine(file, machine);
    try {
      read_machine(file);
      ADD_FAILURE() << "accepted: " << field;
    } catch (const RefusedError& error) {
      EXPECT_NE(std::string(error.what()).find(file.string()), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find(field), std::string::npos) << error.what();
    }
  };
  using M = Machine;
  expect_refused("f32_gflops", [](M& m) { m.f32_gflops = 0; });
  expect_refused("f32_gflops", [](M& m) { m.f32_gflops = 1e300; });
  expect_refused("half_gflops", [](M& m) { m.half_gflops = -1; });
  expect_refused("memory_gbytes_per_second", [](M& m) { m.memory_gbytes_per_second = -1; });
  expect_refused("op_start_us", [](M& m) { m.op_start_us = -1; });
  expect_refused("device_memory_gb", [](M& m) { m.device_memory_gb = 0; });
  expect_refused("node_memory_gb", [](M& m) { m.node_memory_gb = -1; });
  expect_refused("devices_per_node", [](M& m) { m.devices_per_node = 0; });
  expect_refused("threads", [](M& m) { m.threads = 1 << 30; });
  expect_refused("slowdown", [](M& m) { m.slowdown = 0.5; });
  expect_refused("inside_node/hop_us", [](M& m) { m.inside.hop_us = -1; });
  expect_refused("between_nodes/start_us", [](M& m) { m.between.start_us = -1; });
  expect_refused("between_nodes/gbytes", [](M& m) { m.between.gbytes_per_second = 0; });
  expect_refused("rendering/image_size", [](M& m) { m.rendering[0].image_size = 0; });
  expect_refused("nanoseconds_per_pixel", [](M& m) { m.rendering[0].nanoseconds_per_pixel = -1; });
  expect_refused("efficiencies", [](M& m) { m.efficiencies.clear(); });
  expect_refused("efficiencies/share", [](M& m) { m.efficiencies[0].share = 0; });
  expect_refused("efficiencies/rows", [](M& m) { m.efficiencies[0].shape.rows = 1e300; });
  // What JSON's conversions would cut.
  std::string text = R"({"format": "simclr-machine", "name": "x", "device": "cpu", "f32_gflops": 1,
    "memory_gbytes_per_second": 1, "efficiencies": [{"op": "", "share": 1}],
    "inside_node": {"start_us": 0, "hop_us": 1, "gbytes_per_second": 1},
    "between_nodes": {"start_us": 0, "hop_us": 1, "gbytes_per_second": 1}, "devices_per_node": )";
  EXPECT_EQ(refusal(text + "1}"), "accepted");
  EXPECT_NE(refusal(text + "2.5}").find("devices_per_node"), std::string::npos);
  EXPECT_NE(refusal(text + "4294967297}").find("devices_per_node"), std::string::npos);
  EXPECT_NE(refusal(text + "true}").find(file.string()), std::string::npos);
  EXPECT_NE(refusal(text + "1, \"threads\": 0}").find("threads"), std::string::npos);
  EXPECT_EQ(refusal("[]"), file.string() +
                               ": is not a valid machine file: a list stands in place of "
                               "an object with 'format'");
  const auto with = [&](const char* name, const std::string& value) {
    const std::string machine = R"({"format": "simclr-machine", "name": "x", "device": "cpu",
      "devices_per_node": 1, "f32_gflops": 1, "memory_gbytes_per_second": 1,
      "inside_node": {"start_us": 1, "hop_us": 1, "gbytes_per_second": 1},
      "between_nodes": {"start_us": 1, "hop_us": 1, "gbytes_per_second": 1},
      "efficiencies": [{"op": "", "share": 1}])";
    return refusal(machine + ", \"" + name + "\": " + value + "}");
  };
  EXPECT_EQ(with("threads", "1"), "accepted");
  for (const auto& [name, value, reason] :
       {std::tuple{"inside_node", "[]", "a list stands in place of an object with 'start_us'"},
        std::tuple{"efficiencies", "[5]", "a number stands in place of an object with 'op'"},
        std::tuple{"efficiencies", "{}", "'efficiencies' is an object, not a list"},
        std::tuple{"rendering", "null", "'rendering' is null, not a list"},
        std::tuple{"f32_gflops", R"("many")", "'f32_gflops' is a text"},
        std::tuple{"device", R"("a\u0000b")", "'device' is 'a\\x00b', not cpu or cuda"}}) {
    EXPECT_EQ(with(name, value), file.string() + ": is not a valid machine file: " + reason);
  }
  std::filesystem::remove(file);
  EXPECT_THROW(read_machine(file), RefusedError);
}

}  // namespace
}  // namespace simclr
