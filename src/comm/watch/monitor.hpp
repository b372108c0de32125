#pragma once

#include <memory>
#include <optional>

#include "verdict.hpp"
#include "watch_loop.hpp"

namespace simclr::watch {

/// Rank 0's side: hears all ranks, tells them where rank 0 is, and finds faults.
class Monitor final : public WatchLoop {
 public:
  /// A single rank needs no listener.
  Monitor(Terms terms, std::optional<Listener> listener, Watchdog::Handler on_fault);

 private:
  struct Stranger {
    std::unique_ptr<Connection> connection;
    double since = 0;
  };

  bool sweep() override;
  void beat() override;
  void say_farewell(FrameKind kind) override;
  bool farewell_is_taken() override;

  void admit_strangers();
  /// False when it is to be shown the door.
  bool admit(Stranger& stranger);
  void receive_from(std::size_t rank);
  /// Names those that have been silent for so long, once the last of them has been lost for
  /// `settle_seconds`. Whether there are any.
  bool look_for_lost_ranks(double silence_seconds, double settle_seconds);
  [[noreturn]] void end_all(const Fault& fault);
  void send_to_all(FrameKind kind) const;

  std::optional<Listener> listener_;
  Watchdog::Handler on_fault_;
  std::vector<Stranger> strangers_;
  std::vector<std::unique_ptr<Connection>> connections_;  // by rank; null: none, or ended
  std::vector<RankRecord> ranks_;
  std::optional<double> lost_since_;
  std::optional<double> failing_since_;
  int failing_rank_ = -1;
  bool job_is_ending_ = false;  // by others: the launcher, or ranks that have missed this one
};

}  // namespace simclr::watch
