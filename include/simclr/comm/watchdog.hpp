#pragma once
// Watches over the ranks of a job, beside MPI: a collective that hangs does not know who is late.

#include <functional>
#include <memory>
#include <string>

#include "simclr/comm/communicator.hpp"
#include "simclr/core/cause.hpp"

namespace simclr {

/// What ends the job, naming rank, host, step and op.
struct Fault {
  Cause cause = Cause::stalled;  ///< or lost_rank
  std::string message;
};

struct WatchdogOptions {
  /// After which a job in which nothing goes on anywhere is ended.
  double timeout_seconds = 600;
  /// After which a rank that is not heard from is lost; at most the above.
  double silence_seconds = 20;
};

/// A thread in each rank sends where the rank is (core/activity.hpp) to rank 0 over a TCP
/// connection of its own, and rank 0 sends back where it is. Two kinds of fault end the job:
///
/// * lost: a connection is closed without a farewell (its process is dead), or nothing has come
/// over
///   it for `silence_seconds` (node or link). Rank 0 names the ranks; a rank that hears nothing of
///   rank 0 names that and ends itself.
/// * stalled: ranks are heard from, but nowhere has anything moved for `timeout_seconds`. Rank 0
///   names the ranks that are furthest behind; one that waits for others is not blamed as long as
///   there is one that does not.
///
/// The thread then writes the message to stderr, calls `on_fault` and ends every rank with exit
/// code 1, within seconds even where MPI hangs or `on_fault` does. Time during which a process did
/// not run at all (a suspended job) is not counted against the others.
///
/// Collective to create. Destroyed on every rank where the watched work ends: normally, and nobody
/// misses the rank any more, or by an exception, and the others know that the job is ending. Where
/// ranks cannot connect to rank 0 the job is not watched, and a warning says so.
class Watchdog {
 public:
  /// Called on the watchdog's thread: on rank 0, or, where that is lost, on the others one after
  /// another in the order of ranks, until one has ended the job.
  using Handler = std::function<void(const Fault&)>;

  Watchdog(Communicator& world, const WatchdogOptions& options, const Handler& on_fault);
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  ~Watchdog();

  /// For a rank whose communication has failed: gives the watchdog the time to find out who is
  /// lost, and with it to end the job. Returns where it finds nobody.
  void await_verdict() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  int uncaught_;
};

}  // namespace simclr
