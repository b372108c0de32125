#pragma once
// The watchdog's thread: the part common to rank 0 and the other ranks.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "connection.hpp"
#include "simclr/comm/watchdog.hpp"

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

enum class Departure : std::uint8_t { none, leave, fail };

struct WatchSettings {
  WatchdogOptions options;
  std::vector<std::string> hosts;  ///< by rank
  int rank = 0;
  Secret secret{};

  /// Time between two heartbeats; short enough that a few late ones do not matter.
  [[nodiscard]] double period_seconds() const;
};

/// Time that a rank may take to end the job after it has announced that.
inline constexpr double kFailingRankTimeoutSeconds = 30;
/// Launchers that lose a rank end all others with SIGTERM and, a second later, SIGKILL. Ranks lost
/// before the SIGTERM are reported at once. Ranks lost after it were most likely ended by the
/// launcher, and are reported only if this process still runs after this time.
inline constexpr double kLauncherGraceSeconds = 10;
/// Time to wait for peers to close their connections after the last frame; short on failure.
inline constexpr double kLeaveTimeoutSeconds = 5;
inline constexpr double kFailTimeoutSeconds = 0.2;

/// Polls the connections ten times per heartbeat until request_stop().
class WatchLoop {
 public:
  explicit WatchLoop(WatchSettings settings);
  WatchLoop(const WatchLoop&) = delete;
  WatchLoop& operator=(const WatchLoop&) = delete;
  virtual ~WatchLoop() = default;

  /// Runs on the watchdog's thread. Does not return after a fault.
  void run();
  /// Ends run(); called from another thread.
  void request_stop(Departure departure);

 protected:
  /// Receives frames; false when there is nothing left to watch.
  virtual bool sweep() = 0;
  /// Sends a heartbeat and looks for faults.
  virtual void beat() = 0;
  virtual void send_last_frame(FrameKind kind) = 0;
  /// True when the peers have closed their connections.
  virtual bool peers_have_closed() = 0;

  [[nodiscard]] const WatchSettings& settings() const { return settings_; }
  /// Seconds of this process's OwnTime.
  [[nodiscard]] double now() const { return time_.seconds(); }
  /// True when this process was stopped for so long that others must have taken it for lost.
  [[nodiscard]] bool was_paused_too_long() const {
    return time_.longest_pause() > settings_.options.silence_seconds;
  }
  [[nodiscard]] Frame frame(FrameKind kind) const;

 private:
  void pause();
  void end(Departure departure);

  WatchSettings settings_;
  OwnTime time_;
  Descriptor wake_;
  std::atomic<Departure> departure_{Departure::none};
};

/// Logs the fault, calls the handler and `tell_others`, then ends the job with MPI_Abort. The
/// handler runs before any rank ends, because launchers kill all ranks within a second of the first
/// that ends. This process ends within half a minute even if one of the steps hangs (MPI without a
/// node, the handler's file system, a full pipe).
[[noreturn]] void end_job(const Fault& fault, const Watchdog::Handler& on_fault,
                          const std::function<void()>& tell_others = {});

/// Called when another rank is ending the job with MPI_Abort: gives it some seconds, then exits in
/// case that rank hangs.
[[noreturn]] void end_this_process_soon();

}  // namespace simclr::watch
