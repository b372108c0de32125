// Runs on several ranks, one of which gets other bits than the rest.

#include "train/checkpointer.hpp"

#include <gtest/gtest.h>

#include <bit>

#include "network/step.hpp"
#include "simclr/backend/registry.hpp"
#include "simclr/comm/session.hpp"
#include "simclr/core/check.hpp"

namespace simclr {
namespace {

class WeightsCheckTest : public testing::Test {
 protected:
  void SetUp() override { test::set_state(executor); }

  /// The error that every rank gets; "" if the ranks agree.
  std::string verdict(std::int64_t step = 40) {
    try {
      require_equal_weights(executor, step, *world);
    } catch (const Error& error) {
      EXPECT_EQ(error.cause(), Cause::desynchronized);
      return error.what();
    }
    return "";
  }

  void flip_a_bit(Storage storage) {
    std::vector<float> values = executor.flat(storage);
    float& value = values[values.size() / 2];
    value = std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) ^ 1U);
    executor.set_flat(storage, values);
  }

  std::unique_ptr<Communicator> world = make_world_communicator();
  std::unique_ptr<Backend> backend = make_cpu_backend(1);
  Executor executor{record_pretraining(test::small_spec()), *backend, {}};
  int culprit = world->size() - 1;
};

TEST_F(WeightsCheckTest, PassesIfAllBitsAreEqual) { EXPECT_EQ(verdict(), ""); }

TEST_F(WeightsCheckTest, NamesTheRankOfASingleWrongBit) {
  const auto parts = {std::pair{Storage::parameters, "(parameters)"},
                      std::pair{Storage::momentum, "(momentum)"},
                      std::pair{Storage::running, "(running statistics)"}};
  for (const auto& [storage, name] : parts) {
    SetUp();
    executor.set_flat(Storage::momentum, executor.flat(Storage::parameters));
    if (world->rank() == culprit) flip_a_bit(storage);
    const std::string message = verdict();
    if (world->size() == 1) {
      EXPECT_EQ(message, "");
      continue;
    }
    EXPECT_NE(message.find("step 40"), std::string::npos) << message;
    if (world->size() == 2) {  // either may hold the right bits
      EXPECT_NE(message.find("rank 0 on "), std::string::npos) << message;
      EXPECT_NE(message.find("rank 1 on "), std::string::npos) << message;
      EXPECT_NE(message.find("from one another"), std::string::npos) << message;
    } else {
      EXPECT_NE(message.find(fmt::format("rank {} on ", culprit)), std::string::npos) << message;
      EXPECT_NE(message.find(std::string(name) + " from all others"), std::string::npos) << message;
      EXPECT_EQ(message.find("rank 0 on "), std::string::npos) << message;
    }
    if (world->rank() == culprit) flip_a_bit(storage);
    EXPECT_EQ(verdict(), "");
  }
}

}  // namespace
}  // namespace simclr
