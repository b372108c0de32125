#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace simclr {

/// Shows how far long work is: one live line on a terminal, else a log line at each interval. Rank
/// 0 shows its own share, since the others' are alike.
class PackProgress {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kLogInterval{30'000};

  /// `what` begins the line, such as "packing".
  PackProgress(std::string what, std::int64_t images, bool is_root,
               std::chrono::milliseconds log_interval = kLogInterval);
  PackProgress(const PackProgress&) = delete;
  PackProgress& operator=(const PackProgress&) = delete;
  ~PackProgress();

  /// Counts one more image.
  void advance();

 private:
  std::string what_;
  std::int64_t images_, done_ = 0;
  bool is_root_, live_;
  Clock::duration interval_;
  Clock::time_point start_ = Clock::now(), shown_ = start_;
};

}  // namespace simclr
