#pragma once
// Which cores the ranks of a job may run on: thread counts and warnings derived from it.

#include <bitset>
#include <string>
#include <vector>

namespace simclr {

using CoreSet = std::bitset<1024>;

/// The host of a rank and its cores there.
struct RankCores {
  std::string host;
  CoreSet cores;         ///< cores this rank may run on
  int cores_of_job = 0;  ///< cores the launcher may use on this host; 0: unknown
};

/// Writes it as one line of text, to be sent to other ranks; parse_rank_cores() reads it.
std::string to_text(const RankCores& rank);
RankCores parse_rank_cores(const std::string& text);

/// Number of compute threads of a rank: its cores divided by the number of ranks on its host that
/// share any of them. At least 1.
int threads_of(const std::vector<RankCores>& ranks, int rank);

/// Warning, with the remedy, that the ranks of a host are bound to fewer cores than the job has
/// there; empty if they are not. Open MPI binds each rank to one core if there are at most two.
std::string idle_cores_warning(const std::vector<RankCores>& ranks);

}  // namespace simclr
