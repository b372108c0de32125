#pragma once
// Decides from the ranks' last reports which ranks are lost or hold up the job.

#include <optional>
#include <string>
#include <vector>

#include "simclr/comm/watchdog.hpp"
#include "simclr/core/activity.hpp"

namespace simclr::watch {

/// What one rank knows about another; times are seconds of the observer's OwnTime.
struct RankRecord {
  enum class State : std::uint8_t {
    absent,   ///< has not connected yet
    present,  ///< is watched
    closed,   ///< its connection closed without a leave or fail frame
    gone,     ///< has sent a leave or fail frame
  };

  int rank = 0;
  std::string host;
  State state = State::absent;
  Whereabouts at;
  double heard_at = 0;  ///< time of the last report
  double moved_at = 0;  ///< time of the last change of `at`

  void update(const Whereabouts& news, double now);
};

/// Returns the ranks whose connection is closed or that were silent for `silence_seconds`.
std::vector<const RankRecord*> lost_ranks(const std::vector<RankRecord>& ranks, double now,
                                          double silence_seconds);
/// Describes lost ranks; `lost` must not be empty.
Fault lost_fault(const std::vector<const RankRecord*>& lost, double now);

/// Returns a fault when no present rank has moved for `timeout_seconds`, and names the ranks that
/// hold up the others. Empty while a present rank is silent for more than `news_seconds`: it may be
/// lost, and its position is unknown.
std::optional<Fault> stalled_fault(const std::vector<RankRecord>& ranks, double now,
                                   double timeout_seconds, double news_seconds);

}  // namespace simclr::watch
