// OpenMP threads are made more than the cores while other processes take the cores, no longer.

#include "simclr/core/spin_limit.hpp"

#include <gtest/gtest.h>
#include <omp.h>
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

/// Computes until `reached` is true. Returns false if that takes a minute.
bool computes_until(const std::function<bool()>& reached) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!reached()) {
    if (std::chrono::steady_clock::now() > end) return false;
  }
  return true;
}

/// Processes that keep the cores busy.
class OtherProcesses {
 public:
  explicit OtherProcesses(unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
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

TEST_F(SpinLimitTest, ThreadsSleepBesideTheProcessWhileItsCoresAreTaken) {
#ifdef KMP_VERSION_MAJOR
  GTEST_SKIP() << "LLVM's OpenMP runtime does not count the threads of a process";
#endif
  const SpinLimit limit;
  {
    const OtherProcesses others(4 * std::thread::hardware_concurrency());
    EXPECT_TRUE(computes_until([] { return threads_of_this_process() > 2; }));
  }
  EXPECT_TRUE(computes_until([] { return threads_of_this_process() == 2; }));
}

TEST_F(SpinLimitTest, AChoiceInTheEnvironmentIsKept) {
  ASSERT_EQ(::setenv("OMP_WAIT_POLICY", "active", 1), 0);
  const SpinLimit limit;
  EXPECT_EQ(threads_of_this_process(), 1);
}

}  // namespace
}  // namespace simclr
