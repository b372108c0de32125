#include "watch.hpp"

#include <chrono>
#include <thread>

#include "simclr/core/activity.hpp"

namespace simclr::cuda {

namespace {

using Clock = std::chrono::steady_clock;

// Most waits end within a step: at first a thread only yields, later it leaves the core to others.
constexpr auto kYielding = std::chrono::milliseconds(2);
constexpr auto kNap = std::chrono::microseconds(50);

bool has_finished(cudaError_t status) {
  if (status == cudaErrorNotReady) {
    (void)cudaGetLastError();  // no error, but kept as one
    return false;
  }
  check(status, "wait for the device");
  return true;
}

}  // namespace

void Watch::wait(cudaStream_t stream) {
  if (watched_.empty()) return check(cudaStreamSynchronize(stream), "wait for the device");
  wait_until([stream] { return has_finished(cudaStreamQuery(stream)); });
}

void Watch::wait(const Event& event) {
  if (watched_.empty()) return event.synchronise();
  wait_until([&] { return has_finished(cudaEventQuery(event.get())); });
}

void Watch::wait_until(const std::function<bool()>& done) {
  const Waiting waiting("the device");
  const auto start = Clock::now();
  while (!done()) {
    check_on_watched();
    const auto waited = Clock::now() - start;
    if (waited > std::chrono::duration<double>(timeout_seconds_)) {
      give_up(
          Cause::stalled,
          fmt::format("nothing has finished for {:g} s, another rank may have failed or stalled",
                      timeout_seconds_));
    }
    if (waited < kYielding) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(kNap);
    }
  }
}

void Watch::check_on_watched() {
  for (Watched* watched : watched_) {
    if (const auto failure = watched->failure()) give_up(failure->cause, failure->text);
  }
}

void Watch::give_up(Cause cause, const std::string& why) {
  for (Watched* watched : watched_) watched->give_up();
  fail_for(cause, "communication between GPUs was given up: {}; the last collective begun was {}",
           why, last_);
}

}  // namespace simclr::cuda
