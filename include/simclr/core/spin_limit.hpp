#pragma once
// How long OpenMP threads spin while they wait for each other, on a machine that others use, too.

#include <thread>

namespace simclr {

/// Shortens the spinning of OpenMP threads while other processes take this process's cores.
///
/// A thread of GNU's OpenMP runtime checks 300,000 times (about 4 ms) for the end of a wait before
/// it sleeps, but only 1,000 times if the process has more OpenMP threads than cores. Long
/// spinning is best on idle cores and beside few processes; beside many it takes the time that the
/// awaited threads need. A background thread observes the thread that has made this object: how
/// long it runs, and how long it waits for a core. If it waits more than half as long as it
/// runs, the background thread creates sleeping OpenMP threads, more than the process has cores;
/// they end when it waits less.
///
/// Does nothing if the environment has GOMP_SPINCOUNT or OMP_WAIT_POLICY, if the process may use
/// more than 64 cores, or if the kernel has no /proc/self/task/*/schedstat. Other OpenMP runtimes
/// ignore it.
class SpinLimit {
 public:
  SpinLimit();
  SpinLimit(const SpinLimit&) = delete;
  SpinLimit& operator=(const SpinLimit&) = delete;
  ~SpinLimit() = default;

 private:
  std::jthread watch_;
};

}  // namespace simclr
