#pragma once
// Which cores the ranks of a job may run on, and what follows from it.

#include <bitset>
#include <string>
#include <vector>

namespace simclr {

using CoreSet = std::bitset<1024>;

/// One rank's place.
struct RankCores {
  std::string host;
  CoreSet cores;         ///< it may run on these
  int cores_of_job = 0;  ///< what the launcher has on this host to hand out; 0: not known
};

/// One line without a break, for the way to other ranks.
std::string to_text(const RankCores& rank);
RankCores parse_rank_cores(const std::string& text);

/// Compute threads of a rank: its cores, divided by the ranks of its host that may run on any of
/// them. At least 1.
int threads_of(const std::vector<RankCores>& ranks, int rank);

/// A sentence when the ranks of a host are bound to fewer cores than the job has there, with the
/// remedy; else empty. Open MPI binds two ranks to a core each, however many cores there are.
std::string idle_cores_warning(const std::vector<RankCores>& ranks);

}  // namespace simclr
