#pragma once
// From what is known of the ranks to who is to blame.

#include <optional>
#include <string>
#include <vector>

#include "simclr/comm/watchdog.hpp"
#include "simclr/core/activity.hpp"

namespace simclr::watch {

/// A rank as another one knows it; times are seconds of that one's OwnTime.
struct RankRecord {
  enum class State : std::uint8_t {
    absent,   ///< not heard from yet
    present,  ///< to be watched
    closed,   ///< its connection ended without a farewell
    gone,     ///< it has taken leave
  };

  int rank = 0;
  std::string host;
  State state = State::absent;
  Whereabouts at;
  double heard = 0;  ///< last
  double moved = 0;  ///< when `at` last changed

  void hear(const Whereabouts& news, double now);
};

/// The ranks whose connection is closed, or that have been silent for so long.
std::vector<const RankRecord*> lost_ranks(const std::vector<RankRecord>& ranks, double now,
                                          double silence_seconds);
/// Names them (there are some).
Fault lost_fault(const std::vector<const RankRecord*>& lost, double now);

/// Set when none of the present ranks has moved for `timeout_seconds`: names those that hold the
/// others up. Not as long as one of them has not been heard from for `news_seconds`: it may be
/// lost, and where it is is not known.
std::optional<Fault> stalled_fault(const std::vector<RankRecord>& ranks, double now,
                                   double timeout_seconds, double news_seconds);

}  // namespace simclr::watch
