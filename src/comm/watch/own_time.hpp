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
    const double passed = std::chrono::duration<double>(now - last_).count();
    longest_pause_ = std::max(longest_pause_, passed);
    seconds_ += std::min(passed, most_a_tick_);
    last_ = now;
    return seconds_;
  }
  [[nodiscard]] double seconds() const { return seconds_; }
  /// The longest time between two ticks, by the clock.
  [[nodiscard]] double longest_pause() const { return longest_pause_; }

 private:
  double most_a_tick_;
  Clock::time_point last_;
  double seconds_ = 0;
  double longest_pause_ = 0;
};

}  // namespace simclr::watch
