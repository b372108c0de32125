#include "simclr/core/spin_limit.hpp"

#include <omp.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <string>

#include <sys/syscall.h>
#include <unistd.h>

#include "simclr/core/system.hpp"

namespace simclr {
namespace {

constexpr std::chrono::milliseconds kInterval{100};
/// Waiting for a core for a shorter part of an interval is no crowd: a thread that mostly sleeps
/// runs and waits for microseconds.
constexpr std::uint64_t kLeastWaiting = 10'000'000;
/// Equal observations before the limit changes.
constexpr int kPatience = 3;
/// More threads than this are not created: they could exceed what a job may have.
constexpr int kMostCores = 64;
/// LLVM's and Intel's runtimes, whose header defines this, do not count the process's threads.
#ifdef KMP_VERSION_MAJOR
constexpr bool kThreadsAreCounted = false;
#else
constexpr bool kThreadsAreCounted = true;
#endif

/// Sleeping OpenMP threads, enough to make the process's threads more than its cores.
class SleepingThreads {
 public:
  SleepingThreads() : thread_([this] { sleep(); }) {}
  SleepingThreads(const SleepingThreads&) = delete;
  SleepingThreads& operator=(const SleepingThreads&) = delete;
  ~SleepingThreads() {
    over_ = true;
    over_.notify_all();
  }

 private:
  void sleep() {
    // A thread of our own, since the OpenMP threads that it starts end when it ends.
#pragma omp parallel num_threads(omp_get_num_procs() + 1)
    over_.wait(false);
  }

  std::atomic<bool> over_ = false;
  std::jthread thread_;
};

void watch(const std::stop_token& stop, const std::string& schedstat) {
  std::mutex mutex;
  std::condition_variable_any sleep;
  std::unique_lock lock(mutex);
  std::optional<SleepingThreads> limit;
  int changes = 0;
  auto before = core_time(schedstat);
  while (before && !sleep.wait_for(lock, stop, kInterval, [&] { return stop.stop_requested(); })) {
    const auto now = core_time(schedstat);
    if (!now) return;
    const std::uint64_t waiting = now->waiting - before->waiting;
    const bool crowded = waiting > kLeastWaiting && 2 * waiting > now->running - before->running;
    before = now;
    changes = crowded == limit.has_value() ? 0 : changes + 1;
    if (changes < kPatience) continue;
    changes = 0;
    if (crowded) {
      limit.emplace();
    } else {
      limit.reset();
    }
  }
}

}  // namespace

SpinLimit::SpinLimit() {
  const bool chosen =
      std::getenv("GOMP_SPINCOUNT") != nullptr || std::getenv("OMP_WAIT_POLICY") != nullptr;
  if (!kThreadsAreCounted || chosen || omp_get_num_procs() > kMostCores) return;
  watch_ = std::jthread(watch,
                        "/proc/self/task/" + std::to_string(::syscall(SYS_gettid)) + "/schedstat");
}

}  // namespace simclr
