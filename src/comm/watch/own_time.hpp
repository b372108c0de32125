#pragma once

#include <algorithm>
#include <chrono>

namespace simclr::watch {

/// Seconds during which the calling thread has run. A pause of the whole process (a suspended job,
/// a machine that moves) counts as one interval at most: others that were silent meanwhile may have
/// been paused alike.
class OwnTime {
 public:
  using Clock = std::chrono::steady_clock;

  explicit OwnTime(double most_a_tick, Clock::time_point start = Clock::now())
      : most_a_tick_(most_a_tick), last_(start) {}

  double tick(Clock::time_point now = Clock::now()) {
    seconds_ += std::min(std::chrono::duration<double>(now - last_).count(), most_a_tick_);
    last_ = now;
    return seconds_;
  }
  [[nodiscard]] double seconds() const { return seconds_; }

 private:
  double most_a_tick_;
  Clock::time_point last_;
  double seconds_ = 0;
};

}  // namespace simclr::watch
