#pragma once

#include <memory>
#include <optional>

#include "verdict.hpp"
#include "watch_loop.hpp"

namespace simclr::watch {

/// Rank 0 holds at most this many connections of strangers, beside those of the job's ranks.
inline constexpr std::size_t kMaxStrangers = 64;

/// The watchdog of rank 0: receives all ranks' positions, sends them its own, and finds faults.
class Monitor final : public WatchLoop {
 public:
  /// `listener` may be empty for a single rank.
  Monitor(WatchSettings settings, std::optional<Listener> listener, Watchdog::Handler on_fault);

 private:
  struct PendingConnection {
    std::unique_ptr<Connection> connection;
    double since = 0;
  };

  bool sweep() override;
  void beat() override;
  void send_last_frame(FrameKind kind) override;
  bool peers_have_closed() override;

  void admit_pending();
  /// Returns false when the connection must be closed.
  bool admit(PendingConnection& pending);
  void receive_from(std::size_t rank);
  /// Returns true when ranks are lost or silent for `silence_seconds`; ends the job and names them
  /// `settle_seconds` after the first loss.
  bool look_for_lost_ranks(double silence_seconds, double settle_seconds);
  [[noreturn]] void end_all(const Fault& fault);
  void send_to_all(FrameKind kind) const;

  std::optional<Listener> listener_;
  Watchdog::Handler on_fault_;
  std::vector<PendingConnection> pending_;
  std::vector<std::unique_ptr<Connection>> connections_;  // by rank; null: none, or ended
  std::vector<RankRecord> ranks_;
  std::optional<double> lost_since_;
  std::optional<double> failing_since_;
  int failing_rank_ = -1;
  bool job_is_ending_ = false;  // the launcher ends it, or ranks that took this one for lost
};

}  // namespace simclr::watch
