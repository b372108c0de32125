// Predicted memory against an executor's memory, and a checkpoint's predicted size against a file.

#include "plan/plan_parts.hpp"

#include <gtest/gtest.h>

#include <filesystem>

#include "plan_cases.hpp"
#include "simclr/backend/executor.hpp"
#include "simclr/backend/registry.hpp"
#include "simclr/io/checkpoint.hpp"
#include "simclr/train/pretrain_config.hpp"

namespace simclr::plan {
namespace {

MemoryPlan memory_of(const Program& program, const PretrainConfig& config, DeviceKind kind) {
  const DataSummary data{.samples = 1000, .bytes = 1e6};
  return plan_memory(program, {.config = config, .data = data, .placement = {}, .kind = kind},
                     Workspace::ask);
}

PretrainConfig small_config() {
  PretrainConfig config;
  config.batch_size = 4;
  config.device.precision = Precision::fp32;
  return config;
}

TEST(PlannedMemory, EqualsAnExecutorsMemory) {
  const auto backend = make_cpu_backend(1);
  const Executor executor(test::small_step(1), *backend, {});
  const MemoryReport held = executor.memory();
  const MemoryPlan memory = memory_of(executor.program(), small_config(), DeviceKind::cpu);
  EXPECT_EQ(memory.arena, static_cast<double>(held.arena_bytes));
  EXPECT_EQ(memory.workspace, static_cast<double>(held.workspace_bytes));
  EXPECT_EQ(memory.parameters, static_cast<double>(held.parameter_bytes));
  EXPECT_EQ(memory.inputs, 8 * 16 * 16 * 3 * 4);
  EXPECT_EQ(memory.loader, 2 * memory.inputs);
  EXPECT_FALSE(memory.workspace_is_allowance);
}

TEST(PlannedMemory, UsesAGpusLayoutAndAllowances) {
  PretrainConfig config = small_config();
  config.device.precision = Precision::bf16;
  const Program program = test::small_step(1);
  const MemoryPlan memory = memory_of(program, config, DeviceKind::cuda);
  EXPECT_TRUE(memory.workspace_is_allowance);
  EXPECT_GT(memory.device_libraries, 0);
  EXPECT_EQ(memory.weight_copies, 2.0 * static_cast<double>(program.parameter_elements));
  EXPECT_EQ(memory.inputs, 2 * 8 * 16 * 16 * 3 * 4);  // views of this step and the next
  EXPECT_EQ(memory.loader, memory.inputs);
  // A GPU stores 8 and more channels without padding, a CPU in blocks of 16.
  EXPECT_LT(memory.arena, memory_of(program, config, DeviceKind::cpu).arena);
}

TEST(PlannedMemory, HasNoCacheWithCacheNone) {
  PretrainConfig config = small_config();
  const Program program = test::small_step(1);
  EXPECT_EQ(memory_of(program, config, DeviceKind::cpu).cache_per_node, 1e6);
  config.cache = CacheMode::none;
  EXPECT_EQ(memory_of(program, config, DeviceKind::cpu).cache_per_node, 0);
}

TEST(PlannedMemory, PredictsTheSizeOfACheckpointToOnePercent) {
  for (const double width : {0.125, 0.5}) {
    PretrainingSpec spec;
    spec.encoder = {.depth = 18, .width = width, .stem = Stem::cifar};
    spec.image_size = 16;
    spec.local_samples = 4;
    const Program program = record_pretraining(spec);
    Checkpoint checkpoint;
    checkpoint.configuration.assign(900, 'c');
    checkpoint.model.assign(200, 'm');
    const auto add = [&](std::vector<NamedTensor>& to, const std::string& name, TensorId tensor) {
      const Shape shape = program.info(tensor).shape;
      to.push_back({name, shape, std::vector<float>(static_cast<std::size_t>(shape.elements()))});
    };
    for (const Parameter& p : program.parameters) {
      add(checkpoint.parameters, p.name, p.value);
      add(checkpoint.momentum, p.name, p.value);
    }
    for (const RunningStatistic& r : program.running) add(checkpoint.running, r.name, r.value);
    const std::filesystem::path file =
        std::filesystem::path(testing::TempDir()) / fmt::format("plan-checkpoint-{}.h5", width);
    write_checkpoint(file, checkpoint);
    const auto size = static_cast<double>(std::filesystem::file_size(file));
    std::filesystem::remove(file);
    EXPECT_NEAR(checkpoint_bytes(program), size, 0.01 * size) << "width " << width;
  }
}

}  // namespace
}  // namespace simclr::plan
