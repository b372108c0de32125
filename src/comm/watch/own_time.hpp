#pragma once

#include <algorithm>
#include <chrono>

namespace simclr::watch {

/// Seconds during which the calling thread has run. A pause of the whole process (a suspended job,
/// a migrating virtual machine) counts as at most one interval, since other ranks that were silent
/// meanwhile may have been paused as well.
class OwnTime {
 public:
  using Clock = std::chrono::steady_clock;

  explicit OwnTime(double max_tick_seconds, Clock::time_point start = Clock::now())
      : max_tick_seconds_(max_tick_seconds), last_(start) {}

  double tick(Clock::time_point now = Clock::now()) {
    const double passed = std::chrono::duration<double>(now - last_).count();
    longest_pause_ = std::max(longest_pause_, passed);
    seconds_ += std::min(passed, max_tick_seconds_);
    last_ = now;
    return seconds_;
  }
  [[nodiscard]] double seconds() const { return seconds_; }
  /// The longest wall-clock time between two ticks.
  [[nodiscard]] double longest_pause() const { return longest_pause_; }

 private:
  double max_tick_seconds_;
  Clock::time_point last_;
  double seconds_ = 0;
  double longest_pause_ = 0;
};

}  // namespace simclr::watch
