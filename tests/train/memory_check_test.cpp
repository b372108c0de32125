// What a run needs of memory, and what is refused; and the state of a program, tensor by tensor. On
// several ranks.

#include "train/memory_check.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "network/step.hpp"
#include "simclr/backend/executor.hpp"
#include "simclr/backend/registry.hpp"
#include "simclr/comm/session.hpp"
#include "simclr/core/check.hpp"
#include "simclr/train/trainer.hpp"
#include "simclr/train/training_state.hpp"

namespace simclr {
namespace {

class MemoryCheckTest : public testing::Test {
 protected:
  [[nodiscard]] Executor make_executor() {
    return {record_pretraining(test::small_spec()), *backend_, {}};
  }

  std::unique_ptr<Communicator> world_ = make_world_communicator();
  std::unique_ptr<Backend> backend_ = make_cpu_backend(1);
};

TEST_F(MemoryCheckTest, TheNeedIsWhatAnExecutorHolds) {
  const Executor executor = make_executor();
  const MemoryReport held = executor.memory();
  const MemoryNeed need = memory_need(executor.program(), *backend_, true);
  EXPECT_EQ(need.activations, static_cast<double>(held.arena_bytes));
  EXPECT_EQ(need.parameters, static_cast<double>(held.parameter_bytes));
  EXPECT_EQ(need.batches, 3 * static_cast<double>(held.input_bytes));
  std::int64_t largest = 0;
  for (const Parameter& p : executor.program().parameters) {
    largest = std::max(largest, executor.program().info(p.value).shape.elements());
  }
  EXPECT_EQ(need.checkpoint, 4 * static_cast<double>(largest));
  EXPECT_EQ(memory_need(executor.program(), *backend_, false).checkpoint, 0);
}

TEST_F(MemoryCheckTest, AShortageIsDescribedWithSizesAndAdvice) {
  const MemoryNeed need{.activations = 8e9, .parameters = 4e9, .batches = 5e7, .checkpoint = 1.5e8};
  const MemoryBudget budget{12'000'000'000, "memory limit (control group)"};
  EXPECT_EQ(describe_memory_shortage(need, 3e8, budget, 2), "");
  const std::string text = describe_memory_shortage(need, 1e8, budget, 2);
  for (const char* part : {"needed 12.2 GB by 2 ranks", "activations 8.0 GB", "state 4.0 GB",
                           "batches 50.0 MB", "a checkpoint 0.1 GB",
                           "12.1 GB are there (memory limit (control group))", "--batch-size"}) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  }
}

TEST_F(MemoryCheckTest, AllRanksRefuseWhatOneOfThemCannotHave) {
  const double plenty = world_->rank() == world_->size() - 1 ? 1e18 : 1e3;
  EXPECT_THROW(require_memory({.activations = plenty}, 0, *world_), RefusedError);
  EXPECT_THROW(require_memory({.activations = 1e3}, -plenty, *world_), RefusedError);
  require_memory({.activations = 1e3}, 0, *world_);
}

TEST_F(MemoryCheckTest, AStateIsReadAndRestoredTensorByTensor) {
  Executor executor = make_executor();
  test::set_state(executor);
  executor.set_flat(Storage::momentum, executor.flat(Storage::parameters));
  Checkpoint checkpoint = describe_state(executor);
  const TensorValues values = state_values(executor);
  std::size_t number = 0;
  for (auto* tensors : {&checkpoint.parameters, &checkpoint.running, &checkpoint.momentum,
                        &checkpoint.second_moment}) {
    for (NamedTensor& tensor : *tensors) {
      EXPECT_TRUE(tensor.values.empty());
      const std::span<const float> found = values(number++);
      ASSERT_EQ(std::ssize(found), tensor.shape.elements()) << tensor.name;
      tensor.values.assign(found.begin(), found.end());
    }
  }
  Executor other = make_executor();
  restore_state(other, world_->rank() == 0 ? &checkpoint : nullptr, "a checkpoint", *world_);
  for (const Storage storage : {Storage::parameters, Storage::running, Storage::momentum}) {
    EXPECT_EQ(other.flat(storage), executor.flat(storage));
  }
}

TEST_F(MemoryCheckTest, WhatWillBeLoadedIsNotInitialized) {
  const auto parameters = [&](const std::vector<Part>& loaded) {
    Task task{.program = record_pretraining(test::small_spec()), .inputs = {views_input()}};
    const Trainer trainer(std::move(task), {.seed = 3, .loaded = loaded}, *backend_, *world_);
    return trainer.executor().flat(Storage::parameters);
  };
  const Program program = record_pretraining(test::small_spec());
  const std::vector<float> all = parameters({});
  EXPECT_EQ(all, initial_parameters(program, 3));
  const std::vector<float> head = parameters({Part::encoder});
  for (const Parameter& parameter : program.parameters) {
    const TensorInfo& info = program.info(parameter.value);
    const bool loaded = parameter.part == Part::encoder;
    for (std::int64_t i = info.offset; i < info.offset + info.shape.elements(); ++i) {
      const auto at = static_cast<std::size_t>(i);
      ASSERT_EQ(head[at], loaded ? 0 : all[at]) << parameter.name;
    }
  }
  EXPECT_EQ(std::ranges::count(parameters(kAllParts), 0.0F), program.parameter_elements);
}

}  // namespace
}  // namespace simclr
