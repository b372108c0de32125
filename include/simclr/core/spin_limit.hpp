#pragma once
// Limits how long OpenMP threads spin while they wait for each other, where other processes need
// the cores.

#include <thread>

namespace simclr {

/// Shortens the spinning of OpenMP threads while other processes take this process's cores.
///
/// A waiting thread of GNU's OpenMP runtime spins, checking 300,000 times (about 4 ms) whether the
/// wait is over, before it sleeps. It checks only 1,000 times if the process has more OpenMP
/// threads than cores. Long spinning is fastest while the cores are idle. Beside many other
/// processes it occupies the cores that the awaited threads need.
///
/// The constructor starts a background thread, which measures how long the constructing thread runs
/// and how long it waits for a core. When it waits more than half as long as it runs, the
/// background thread starts OpenMP threads that only sleep, so many that the process has more of
/// them than cores and spins briefly. When it waits less, these threads end.
///
/// Does nothing if the environment has GOMP_SPINCOUNT or OMP_WAIT_POLICY, if the process may use
/// more than 64 cores, if the kernel has no /proc/self/task/*/schedstat, or if the program is
/// compiled for another OpenMP runtime: LLVM's yields its core while it waits, and sleeps after
/// 0.2 s (KMP_BLOCKTIME), whatever the number of threads.
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
