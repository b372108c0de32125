#pragma once
// Detects lost and stalled ranks without MPI, since a collective that hangs cannot tell which rank
// is late.

#include <functional>
#include <memory>
#include <string>

#include "simclr/comm/communicator.hpp"
#include "simclr/core/cause.hpp"

namespace simclr {

/// The reason for ending the job; the message names rank, host, step and op.
struct Fault {
  Cause cause = Cause::stalled;  ///< or lost_rank
  std::string message;
};

struct WatchdogOptions {
  /// The job is ended when no rank makes progress for this time.
  double timeout_seconds = 600;
  /// A rank counts as lost when it sends nothing for this time; at most `timeout_seconds`.
  double silence_seconds = 20;
};

/// A thread in each rank reports the rank's position (core/activity.hpp) to rank 0 over its own TCP
/// connection, and rank 0 reports its position back. Two kinds of fault end the job:
///
/// Lost: a connection closes without a leave or fail frame (the process is dead), or carries
/// nothing for `silence_seconds` (node or link failed). Rank 0 names the lost ranks; a rank that
/// hears nothing from rank 0 names rank 0 and ends itself.
///
/// Stalled: the ranks send heartbeats, but none makes progress for `timeout_seconds`. Rank 0 names
/// the ranks that are furthest behind. Ranks that wait for others are named only if all wait.
///
/// The thread then writes the message to stderr, calls `on_fault` and ends every rank with exit
/// code 1, within half a minute even if MPI or `on_fault` hangs. Time in which this process did not
/// run (a suspended job) does not count as silence of the others.
///
/// All ranks create it together and destroy it when the watched work ends. When an exception
/// unwinds, the destructor tells the others that the job is ending. If a rank cannot connect to
/// rank 0, a warning is logged and the job runs without a watchdog.
class Watchdog {
 public:
  /// Called on the watchdog's thread of rank 0. When rank 0 is lost, the other ranks call it one
  /// after another, in rank order, until one has ended the job.
  using Handler = std::function<void(const Fault&)>;

  Watchdog(Communicator& world, const WatchdogOptions& options, const Handler& on_fault);
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  ~Watchdog();

  /// Called by a rank whose communication has failed: waits long enough for the watchdog to find
  /// the lost rank and end the job. Returns only if no rank is lost.
  void await_verdict() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  int uncaught_;
};

}  // namespace simclr
