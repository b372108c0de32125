#include "simclr/train/system_info.hpp"

#include <fmt/format.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <sstream>
#include <string_view>

#include "core_usage.hpp"
#include "simclr/core/log.hpp"

namespace simclr {
namespace {

constexpr std::array kLaunchedRank{"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"};

CoreSet cores_of_process(pid_t process) {
  CoreSet cores;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(process, sizeof(set), &set) != 0) return cores;
  for (std::size_t core = 0; core < cores.size(); ++core) cores[core] = CPU_ISSET(core, &set);
  return cores;
}

/// Number of cores that the job has on this host; 0 without a launcher. These are the cores of the
/// launcher, the parent process of the ranks; under Slurm, whose daemon may use all cores of the
/// node, at most SLURM_CPUS_ON_NODE.
int cores_of_job() {
  const bool launched = std::any_of(kLaunchedRank.begin(), kLaunchedRank.end(),
                                    [](const char* name) { return std::getenv(name) != nullptr; });
  if (!launched) return 0;
  const auto cores = static_cast<int>(cores_of_process(::getppid()).count());
  const char* share = std::getenv("SLURM_CPUS_ON_NODE");
  return share == nullptr ? cores : std::min(cores, std::atoi(share));
}

/// Without /proc, the peak since the program began, which is no less than what it holds.
double memory_bytes(std::string_view key) {
  if (const auto bytes = proc_bytes("/proc/self/status", key)) return static_cast<double>(*bytes);
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return 1024 * static_cast<double>(usage.ru_maxrss);
}

}  // namespace

double peak_memory_bytes() { return memory_bytes("VmHWM:"); }
double resident_memory_bytes() { return memory_bytes("VmRSS:"); }

std::int64_t job_restart() {
  const char* value = std::getenv("SLURM_RESTART_COUNT");
  return value != nullptr ? std::atoll(value) : 0;
}

std::string cluster_name() {
  const char* value = std::getenv("SLURM_CLUSTER_NAME");
  return value != nullptr ? value : "";
}

std::string job_id() {
  for (const char* variable : {"SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID"}) {
    if (const char* value = std::getenv(variable)) return value;
  }
  return "";
}

int available_cores() { return std::max(1, static_cast<int>(cores_of_process(0).count())); }

double total_memory_gb() {
  const auto bytes = proc_bytes("/proc/meminfo", "MemTotal:");
  const auto pages = static_cast<double>(::sysconf(_SC_PHYS_PAGES));
  return 1e-9 * (bytes ? static_cast<double>(*bytes)
                       : pages * static_cast<double>(::sysconf(_SC_PAGESIZE)));
}

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

int default_threads(Communicator& world) {
  const RankCores own{host_name(), cores_of_process(0), cores_of_job()};
  std::vector<RankCores> ranks;
  for (const std::string& text : gather_texts(world, to_text(own))) {
    ranks.push_back(parse_rank_cores(text));
  }
  const std::string warning = idle_cores_warning(ranks);
  if (world.rank() == 0 && !warning.empty()) log::warning("{}", warning);
  return threads_of(ranks, world.rank());
}

}  // namespace simclr
