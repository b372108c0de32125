#include "train/run_state.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>

#include "simclr/comm/communicator.hpp"
#include "simclr/core/check.hpp"
#include "support/temporary_directory.hpp"

namespace simclr {
namespace {

class RunStateTest : public testing::Test {
 protected:
  [[nodiscard]] nlohmann::json written() const {
    std::ifstream in(directory.path() / "state.json");
    return in ? nlohmann::json::parse(in) : nlohmann::json();
  }
  static void begin(StateFile& state, std::int64_t step, int restarts) {
    state.take_over(step, restarts, {});
    state.running(step);
  }

  TemporaryDirectory directory;
  StateFile root{directory.path(), true}, other{directory.path(), false};
};

TEST_F(RunStateTest, HoldsTheStateOfTheRun) {
  begin(root, 100, 2);
  EXPECT_EQ(written(), nlohmann::json::parse(R"({"status": "running", "step": 100, "reason": "",
      "cause": "none", "resubmit": true, "restarts": 2, "job": ""})"));
  root.running(120);
  root.end(RunStatus::stopped_early, Cause::time_limit, "the job's time limit");
  EXPECT_EQ(written(), nlohmann::json::parse(R"({"status": "stopped-early", "step": 120,
      "reason": "the job's time limit", "cause": "time-limit", "resubmit": true, "restarts": 2,
      "job": ""})"));
  const auto read = read_state(directory.path());
  ASSERT_TRUE(read);
  EXPECT_EQ(read->status, RunStatus::stopped_early);
  EXPECT_EQ(read->step, 120);
  EXPECT_EQ(read->restarts, 2);
}

TEST_F(RunStateTest, WritesNothingBeforeItOwnsTheDirectory) {
  root.end(RunStatus::failed, Cause::lost_rank, "too early");
  EXPECT_TRUE(written().is_null());
}

TEST_F(RunStateTest, HoldsWhyAStartFailedBeforeWorkBegan) {
  begin(root, 100, 0);
  root.end(RunStatus::stopped_early, Cause::signal, "signal SIGUSR1");
  StateFile again(directory.path(), true);
  again.take_over(100, 1, {});
  again.end(RunStatus::failed, Cause::io, "the data cannot be read");
  EXPECT_EQ(written().at("cause"), "io");
  EXPECT_EQ(written().at("restarts"), 1);
}

TEST_F(RunStateTest, KeepsTheFirstReportedEnd) {
  begin(root, 100, 0);
  root.end(RunStatus::failed, Cause::stalled, "the watchdog's");
  root.running(120);
  root.end(RunStatus::finished, Cause::finished, "all epochs done");
  EXPECT_EQ(written().at("reason"), "the watchdog's");
  EXPECT_EQ(written().at("step"), 100);
}

TEST_F(RunStateTest, AnotherRankWritesOnlyOverTheStateRunning) {
  begin(root, 100, 1);
  begin(other, 100, 1);
  EXPECT_EQ(written().at("status"), "running");
  other.end(RunStatus::failed, Cause::lost_rank, "rank 0 is lost");
  EXPECT_EQ(written().at("cause"), "lost-rank");
  EXPECT_EQ(written().at("step"), 100);
  root.end(RunStatus::failed, Cause::lost_rank, "rank 1 is lost");  // back after a pause
  EXPECT_EQ(written().at("reason"), "rank 0 is lost");
}

TEST_F(RunStateTest, KeepsAnEndThatAnotherRankHasWritten) {
  begin(root, 100, 1);
  begin(other, 100, 1);
  other.end(RunStatus::failed, Cause::lost_rank, "rank 0 is lost");
  root.running(120);  // back after a pause
  EXPECT_EQ(written().at("status"), "failed");
  EXPECT_EQ(written().at("step"), 100);
}

TEST_F(RunStateTest, ACutOffRankChangesNothing) {
  begin(other, 100, 1);
  begin(root, 100, 1);
  root.end(RunStatus::failed, Cause::lost_rank, "rank 3 is lost");
  other.end(RunStatus::failed, Cause::lost_rank, "rank 0 is lost");
  EXPECT_EQ(written().at("reason"), "rank 3 is lost");

  // It does not change the state of a restarted run either.
  StateFile again(directory.path(), true);
  StateFile late(directory.path(), false);
  begin(late, 100, 1);
  begin(again, 100, 2);
  late.end(RunStatus::failed, Cause::lost_rank, "rank 0 is lost");
  EXPECT_EQ(written().at("status"), "running");
}

TEST_F(RunStateTest, IsLeftAloneOnceAnotherStartHasTheLock) {
  {
    const RunLock lock(directory.path());
    root.take_over(100, 0, lock.fence());
    other.take_over(100, 0, lock.fence());
    root.running(100);
    EXPECT_EQ(written().at("step"), 100);
  }
  std::ofstream(directory.path() / "lock") << "of another start";
  EXPECT_THROW(root.running(120), RefusedError);
  EXPECT_THROW(root.end(RunStatus::finished, Cause::finished, "all epochs done"), RefusedError);
  EXPECT_THROW(other.end(RunStatus::failed, Cause::lost_rank, "rank 0 is lost"), RefusedError);
  EXPECT_EQ(written().at("status"), "running");
  EXPECT_EQ(written().at("step"), 100);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory.path()), {}), 2);
}

TEST_F(RunStateTest, IsEmptyIfItCannotBeRead) {
  EXPECT_FALSE(read_state(directory.path()));
  EXPECT_EQ(restarts_so_far(directory.path()), 0);
  for (const char* text :
       {R"({"status": "runn)", "5", "[]", R"({"status": 7})", R"({"status": "idle"})",
        R"({"status": "running", "step": "5"})", R"({"status": "running", "step": -5})",
        R"({"status": "running", "restarts": 2147483647})",
        R"({"status": "running", "restarts": 1.5})"}) {
    std::ofstream(directory.path() / "state.json") << text;
    EXPECT_FALSE(read_state(directory.path())) << text;
    EXPECT_THROW(restarts_so_far(directory.path()), RefusedError) << text;
  }
  std::ofstream(directory.path() / "state.json") << R"({"status": "running", "restarts": 3})";
  EXPECT_EQ(restarts_so_far(directory.path()), 3);
}

TEST(Cause, KnowsWhetherToResubmit) {
  for (const Cause cause : {Cause::none, Cause::signal, Cause::time_limit, Cause::lost_rank,
                            Cause::stalled, Cause::io}) {
    EXPECT_TRUE(helps_to_resubmit(cause)) << name_of(cause);
  }
  for (const Cause cause : {Cause::finished, Cause::max_steps, Cause::desynchronized,
                            Cause::diverged, Cause::not_finite, Cause::lost_lock, Cause::error}) {
    EXPECT_FALSE(helps_to_resubmit(cause)) << name_of(cause);
  }
}

TEST(Cause, SurvivesErrorsOnRankZero) {
  const auto world = make_self_communicator();
  const auto cause_through = [&](const std::function<void()>& work) {
    try {
      on_root(*world, work);
    } catch (const std::exception& error) {
      return cause_of(error);
    }
    return Cause::none;
  };
  EXPECT_EQ(cause_through([] { fail_for(Cause::io, "disk full"); }), Cause::io);
  EXPECT_EQ(cause_through([] { fail("bug"); }), Cause::error);
  EXPECT_EQ(cause_through([] { throw std::system_error(1, std::generic_category()); }), Cause::io);
  EXPECT_EQ(cause_through([] { throw std::bad_alloc(); }), Cause::error);
  EXPECT_EQ(cause_through([] {}), Cause::none);
}

}  // namespace
}  // namespace simclr
