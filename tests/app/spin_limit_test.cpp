// OpenMP threads are made more than the cores while other processes take the cores, no longer.

#include "simclr/core/spin_limit.hpp"

#include <gtest/gtest.h>
#include <omp.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iterator>
#include <thread>
#include <vector>

namespace simclr {
namespace {

int threads_of_this_process() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return static_cast<int>(std::distance(begin(tasks), end(tasks)));
}

/// Calls `spend_time` until `reached` is true. Returns false if that takes a minute.
bool is_reached(const std::function<bool()>& reached, const std::function<void()>& spend_time) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!reached()) {
    if (std::chrono::steady_clock::now() > end) return false;
    spend_time();
  }
  return true;
}

void compute() {
  for (volatile unsigned n = 0; n < 1'000'000;) n = n + 1;
}

/// A thread that sleeps does not wait for a core, however many other processes want one. It wakes
/// in one of ten intervals that the limit's thread observes.
void sleep() { std::this_thread::sleep_for(std::chrono::seconds(1)); }

/// Lets this process and its children run on one of its cores only.
void use_one_core() {
  cpu_set_t cores;
  ASSERT_EQ(::sched_getaffinity(0, sizeof(cores), &cores), 0);
  int first = 0;
  while (!CPU_ISSET(first, &cores)) ++first;
  CPU_ZERO(&cores);
  CPU_SET(first, &cores);
  ASSERT_EQ(::sched_setaffinity(0, sizeof(cores), &cores), 0);
}

/// Processes that keep this process's core busy.
class OtherProcesses {
 public:
  explicit OtherProcesses(int count) {
    for (int i = 0; i < count; ++i) {
      const pid_t pid = ::fork();
      if (pid == 0) {
        ::alarm(120);  // ends if the test does not end it
        for (volatile unsigned n = 0;;) n = n + 1;
      }
      pids_.push_back(pid);
    }
  }
  OtherProcesses(const OtherProcesses&) = delete;
  OtherProcesses& operator=(const OtherProcesses&) = delete;
  ~OtherProcesses() {
    for (const pid_t pid : pids_) {
      ::kill(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
    }
  }

 private:
  std::vector<pid_t> pids_;
};

class SpinLimitTest : public testing::Test {
 protected:
  void SetUp() override {
    ::unsetenv("GOMP_SPINCOUNT");
    ::unsetenv("OMP_WAIT_POLICY");
  }
};

TEST_F(SpinLimitTest, ThreadsSleepBesideTheProcessWhileItWaitsForACore) {
#ifdef KMP_VERSION_MAJOR
  GTEST_SKIP() << "LLVM's OpenMP runtime does not count the threads of a process";
#endif
  use_one_core();
  const OtherProcesses others(4);
  const SpinLimit limit;
  const auto threads_sleep = [] { return threads_of_this_process() > 2; };
  EXPECT_TRUE(is_reached(threads_sleep, compute));
  EXPECT_TRUE(is_reached([&] { return !threads_sleep(); }, sleep));
}

TEST_F(SpinLimitTest, AChoiceInTheEnvironmentIsKept) {
  ASSERT_EQ(::setenv("OMP_WAIT_POLICY", "active", 1), 0);
  const SpinLimit limit;
  EXPECT_EQ(threads_of_this_process(), 1);
}

}  // namespace
}  // namespace simclr
