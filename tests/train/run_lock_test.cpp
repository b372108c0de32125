// Who may write into a run directory, and how a start finds out that it may not any more.

#include "train/run_lock.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <thread>
#include <vector>

#include "simclr/core/check.hpp"
#include "support/temporary_directory.hpp"

namespace simclr {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kOther = "another";

constexpr std::chrono::milliseconds kBeat{20};
constexpr const char* kNothing = "nothing was refused";

class RunLockTest : public testing::Test {
 protected:
  RunLockTest() { set_job("7", "0", "north"); }
  ~RunLockTest() override {
    for (const char* name : {"SLURM_JOB_ID", "SLURM_RESTART_COUNT", "SLURM_CLUSTER_NAME"}) {
      ::unsetenv(name);
    }
  }

  static void set_job(const char* job, const char* restart, const char* cluster) {
    ::setenv("SLURM_JOB_ID", job, 1);
    ::setenv("SLURM_RESTART_COUNT", restart, 1);
    ::setenv("SLURM_CLUSTER_NAME", cluster, 1);
  }
  [[nodiscard]] std::string text() const {
    std::ostringstream all;
    all << std::ifstream(file).rdbuf();
    return all.str();
  }
  void write_text(const std::string& content) const { std::ofstream(file) << content; }
  void write(const Json& holder) const { write_text(holder.dump()); }
  void set_age(std::chrono::seconds age) const {
    fs::last_write_time(file, fs::file_time_type::clock::now() - age);
  }
  /// What a lock of this process holds.
  [[nodiscard]] Json own() const {
    const RunLock lock(run.path());
    return Json::parse(text());
  }
  /// A lock of a living process that this process cannot see.
  [[nodiscard]] Json foreign() const {
    Json holder = own();
    holder["pid_namespace"] = "pid:[1]";
    holder["job"] = "8";
    holder["host"] = kOther;
    return holder;
  }
  static std::string refusal(const std::function<void()>& work) {
    try {
      work();
    } catch (const RefusedError& error) {
      return error.what();
    }
    return kNothing;
  }
  /// The refusal of both the lock and the check that only reads.
  [[nodiscard]] std::string refused() const {
    std::string by_reading = refusal([&] { require_unlocked(run.path()); });
    EXPECT_NE(by_reading, kNothing);
    EXPECT_EQ(refusal([&] { const RunLock lock(run.path()); }).substr(0, 40),
              by_reading.substr(0, 40));
    return by_reading;
  }
  void expect_taken_over() const {
    EXPECT_NO_THROW(require_unlocked(run.path()));
    {
      const RunLock lock(run.path(), kBeat);
      EXPECT_EQ(Json::parse(text()).at("pid"), ::getpid());
      EXPECT_NO_THROW(lock.fence().require_held());
    }
    EXPECT_TRUE(fs::is_empty(run.path()));
  }

  TemporaryDirectory run;
  fs::path file = run.path() / "lock";
};

pid_t process_that_has_ended() {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ::waitpid(child, nullptr, 0);
  return child;
}

TEST_F(RunLockTest, NamesTheHolder) {
  const Json holder = own();
  EXPECT_EQ(holder.at("pid"), ::getpid());
  EXPECT_EQ(holder.at("job"), "7");
  EXPECT_EQ(holder.at("cluster"), "north");
  EXPECT_EQ(holder.at("pid_namespace"), fs::read_symlink("/proc/self/ns/pid").string());
  EXPECT_EQ(holder.at("boot").get<std::string>().size(), 36U);
  EXPECT_TRUE(fs::is_empty(run.path()));
}

TEST_F(RunLockTest, RefusesASecondProcessWhileTheFirstLives) {
  const RunLock first(run.path());
  const std::string why = refused();
  EXPECT_NE(why.find(fmt::format("process {} on ", ::getpid())), std::string::npos) << why;
  EXPECT_NE(why.find("job 7 of cluster north (restart 0)"), std::string::npos) << why;
  set_age(std::chrono::hours(1));  // a suspended process still lives
  (void)refused();
  set_job("9", "0", "north");
  (void)refused();
}

TEST_F(RunLockTest, TakesOverALockWhoseProcessIsGone) {
  Json holder = own();
  holder["pid"] = process_that_has_ended();
  write(holder);
  expect_taken_over();
  holder["pid"] = ::getpid();
  holder["process_start"] = "1";  // another process of the same number
  write(holder);
  expect_taken_over();
}

TEST_F(RunLockTest, CountsAProcessThatCouldNotSeeItsOwnStartAsAlive) {
  Json holder = own();
  holder["process_start"] = "";  // of a container without /proc
  write(holder);
  (void)refused();
  holder["pid"] = process_that_has_ended();
  write(holder);
  expect_taken_over();
}

TEST_F(RunLockTest, DoesNotJudgeProcessesThatItCannotSee) {
  for (const char* field : {"boot", "pid_namespace"}) {
    Json holder = own();
    holder["pid"] = process_that_has_ended();
    holder["job"] = "8";
    holder[field] = kOther;
    write(holder);
    const std::string why = refused();
    EXPECT_NE(why.find("last heartbeat"), std::string::npos) << why;
    fs::remove(file);
  }
}

TEST_F(RunLockTest, TakesOverALockWithoutAHeartbeatForMinutes) {
  write(foreign());
  set_age(std::chrono::seconds(200));
  (void)refused();
  set_age(std::chrono::seconds(400));
  expect_taken_over();
}

TEST_F(RunLockTest, TakesOverALockWithATimeInTheFutureThatDoesNotBeat) {
  write(foreign());
  set_age(std::chrono::seconds(-200));
  (void)refused();
  set_age(-std::chrono::hours(72));
  expect_taken_over();
}

TEST_F(RunLockTest, RefusesProcessNumbersThatCannotBe) {
  Json holder = own();
  const std::vector<Json> numbers{0, -1, 1e300, 99999999999999, 1 << 23, "7", nullptr};
  for (const Json& number : numbers) {
    holder["pid"] = number;
    write(holder);
    EXPECT_NE(refused().find("cannot be read as a lock"), std::string::npos) << number;
  }
}

TEST_F(RunLockTest, AHeartbeatCountsThoughTheHoldersClockIsBehind) {
  write(foreign());
  set_age(std::chrono::seconds(4000));
  const std::jthread holder([&](const std::stop_token& stop) {
    for (int age = 3999; !stop.stop_requested() && age > 400; --age) {
      std::this_thread::sleep_for(kBeat / 4);
      set_age(std::chrono::seconds(age));
    }
  });
  const std::string why = refusal([&] { const RunLock lock(run.path(), kBeat); });
  EXPECT_NE(why.find("the clocks of the nodes differ"), std::string::npos) << why;
}

TEST_F(RunLockTest, TakesOverAnEarlierStartOfThisJobOnThisClusterOnly) {
  Json holder = foreign();
  holder["job"] = "7";
  write(holder);
  (void)refused();
  set_job("7", "1", "south");
  (void)refused();
  set_job("7", "1", "north");
  expect_taken_over();
}

TEST_F(RunLockTest, LocksOfEarlierVersionsHaveNoHeartbeat) {
  Json holder = own();
  for (const char* field : {"cluster", "boot", "pid_namespace"}) holder.erase(field);
  holder["job"] = "8";
  write(holder);
  set_age(std::chrono::hours(1));
  (void)refused();
  holder["pid"] = process_that_has_ended();
  write(holder);
  expect_taken_over();
}

TEST_F(RunLockTest, AnEmptyLockIsStaleAfterAWhile) {
  write_text("");
  const std::string why = refused();
  EXPECT_NE(why.find("is empty"), std::string::npos) << why;
  set_age(std::chrono::seconds(400));
  expect_taken_over();
  write_text("no JSON");
  EXPECT_NE(refused().find("cannot be read as a lock"), std::string::npos);
}

TEST_F(RunLockTest, RefusesWhatIsNoPlainFileAtOnce) {
  const auto start = std::chrono::steady_clock::now();
  fs::create_symlink("/nonexistent/file", file);
  EXPECT_NE(refused().find("is a symbolic link"), std::string::npos);
  fs::remove(file);
  std::ofstream(run.path() / "target") << own();
  fs::create_symlink("target", file);
  EXPECT_NE(refused().find("is a symbolic link"), std::string::npos);
  fs::remove(file);
  ASSERT_EQ(::mkfifo(file.c_str(), 0600), 0);
  EXPECT_NE(refused().find("no plain file"), std::string::npos);
  fs::remove(file);
  fs::create_directory(file);
  EXPECT_NE(refused().find("no plain file"), std::string::npos);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
}

TEST_F(RunLockTest, BeatsWhileItIsHeld) {
  const RunLock lock(run.path(), std::chrono::milliseconds(20));
  set_age(std::chrono::hours(1));
  const auto old = fs::last_write_time(file);
  for (int i = 0; i < 500 && fs::last_write_time(file) == old; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_GT(fs::last_write_time(file), old + std::chrono::minutes(59));
}

TEST_F(RunLockTest, TheFenceFallsWithTheLock) {
  std::optional<RunLock> lock(run.path());
  const RunFence fence = lock->fence();
  const auto expect_lost = [&](const std::string& how) {
    try {
      fence.require_held();
      ADD_FAILURE() << "still held: " << how;
    } catch (const RefusedError& error) {
      EXPECT_EQ(error.cause(), Cause::lost_lock);
      EXPECT_NE(std::string(error.what()).find(how), std::string::npos) << error.what();
    }
  };
  EXPECT_NO_THROW(fence.require_held());
  const std::string mine = text();
  fs::remove(file);
  expect_lost("has been deleted");
  write_text("");
  expect_lost("has been replaced");
  Json holder = Json::parse(mine);
  holder["job_restart"] = 1;
  write(holder);
  expect_lost("now belongs to process ");
  fs::rename(file, run.path() / "aside");
  fs::create_symlink("aside", file);
  expect_lost("is a symbolic link");
  fs::remove(file);
  write_text(mine);
  EXPECT_NO_THROW(fence.require_held());
  write(holder);
  lock.reset();
  EXPECT_EQ(text(), holder.dump()) << "the lock of another start was deleted";
}

TEST_F(RunLockTest, FollowsTheUsersMask) {
  const mode_t before = ::umask(027);
  struct stat status {};
  {
    const RunLock lock(run.path());
    ASSERT_EQ(::stat(file.c_str(), &status), 0);
  }
  ::umask(before);
  EXPECT_EQ(status.st_mode & 0777U, 0640U);
}

}  // namespace
}  // namespace simclr
