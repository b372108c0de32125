#pragma once
// The watchdog's thread: the part common to rank 0 and the other ranks.

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "connection.hpp"
#include "own_time.hpp"
#include "simclr/comm/watchdog.hpp"
#include "socket.hpp"

namespace simclr::watch {

enum class Departure : std::uint8_t { none, leave, fail };

struct WatchSettings {
  WatchdogOptions options;
  std::vector<std::string> hosts;  ///< by rank
  int rank = 0;
  Token token{};

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

}  // namespace simclr::watch
