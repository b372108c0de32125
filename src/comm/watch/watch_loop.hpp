#pragma once
// The watchdog's thread: what both sides of it share.

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "connection.hpp"
#include "own_time.hpp"
#include "simclr/comm/watchdog.hpp"
#include "socket.hpp"

namespace simclr::watch {

enum class Farewell : std::uint8_t { none, leave, fail };

/// Of one job.
struct Terms {
  WatchdogOptions options;
  std::vector<std::string> hosts;  ///< of every rank
  int rank = 0;
  Token token{};

  /// Between two heartbeats; often enough that single late ones do not matter.
  [[nodiscard]] double period_seconds() const;
};

/// How long a rank that has said that it is ending the job may take to do so.
inline constexpr double kPatienceWithFailure = 30;
/// Launchers end all ranks when one is lost to them, by SIGTERM and a second later by SIGKILL. What
/// is lost before the SIGTERM is blamed at once, while there is time; what is lost after it is most
/// likely ended as this process is about to be.
inline constexpr double kPatienceWithLauncher = 10;
/// How long farewells may take to be acknowledged; that of a rank that fails is only sent.
inline constexpr double kPatienceWithLeave = 5;
inline constexpr double kPatienceWithFail = 0.2;

/// Sweeps over its connections ten times a heartbeat until it is told to take its leave.
class WatchLoop {
 public:
  explicit WatchLoop(Terms terms);
  WatchLoop(const WatchLoop&) = delete;
  WatchLoop& operator=(const WatchLoop&) = delete;
  virtual ~WatchLoop() = default;

  /// On the watchdog's thread. Does not return from a fault.
  void run();
  /// From another thread.
  void take_leave(Farewell farewell);

 protected:
  /// Receives; false when there is nothing left to watch.
  virtual bool sweep() = 0;
  /// Sends, and looks for faults.
  virtual void beat() = 0;
  virtual void say_farewell(FrameKind kind) = 0;
  /// Whether the other ends have closed as well.
  virtual bool farewell_is_taken() = 0;

  [[nodiscard]] const Terms& terms() const { return terms_; }
  /// By this process's OwnTime.
  [[nodiscard]] double now() const { return time_.seconds(); }
  /// Whether this process has been stopped for so long that others must have taken it for lost.
  [[nodiscard]] bool was_missed() const {
    return time_.longest_pause() > terms_.options.silence_seconds;
  }
  [[nodiscard]] Frame frame(FrameKind kind) const;

 private:
  void wait_a_little();
  void end(Farewell farewell);

  Terms terms_;
  OwnTime time_;
  Descriptor wake_;
  std::atomic<Farewell> farewell_{Farewell::none};
};

}  // namespace simclr::watch
