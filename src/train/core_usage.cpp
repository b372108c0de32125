#include "core_usage.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <sstream>

namespace simclr {

std::string to_text(const RankCores& rank) {
  return fmt::format("{} {} {}", rank.host, rank.cores_of_job, rank.cores.to_string());
}

RankCores parse_rank_cores(const std::string& text) {
  RankCores rank;
  std::istringstream(text) >> rank.host >> rank.cores_of_job >> rank.cores;
  return rank;
}

int threads_of(const std::vector<RankCores>& ranks, int rank) {
  const RankCores& own = ranks[static_cast<std::size_t>(rank)];
  const auto sharers = std::count_if(ranks.begin(), ranks.end(), [&](const RankCores& other) {
    return other.host == own.host && (other.cores & own.cores).any();
  });
  const auto cores = static_cast<std::ptrdiff_t>(own.cores.count());
  return static_cast<int>(
      std::max<std::ptrdiff_t>(1, cores / std::max<std::ptrdiff_t>(1, sharers)));
}

std::string idle_cores_warning(const std::vector<RankCores>& ranks) {
  struct Host {
    CoreSet used;
    int ranks = 0, cores_of_job = 0;
  };
  std::map<std::string, Host> hosts;
  for (const RankCores& rank : ranks) {
    Host& host = hosts[rank.host];
    host.used |= rank.cores;
    ++host.ranks;
    host.cores_of_job = std::max(host.cores_of_job, rank.cores_of_job);
  }
  for (const auto& [name, host] : hosts) {
    const auto used = static_cast<int>(host.used.count());
    if (used == 0 || used >= host.cores_of_job) continue;
    return fmt::format(
        "{}: the launcher binds the {} rank{} there to {} of {} cores, the others stay idle; start "
        "with mpirun --bind-to none, or --map-by slot:PE=N for N cores a rank (srun: "
        "--cpus-per-task=N)",
        name, host.ranks, host.ranks == 1 ? "" : "s", used, host.cores_of_job);
  }
  return "";
}

}  // namespace simclr
