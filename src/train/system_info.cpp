#include "system_info.hpp"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace simclr {
namespace {

/// "host 0101": the cores this process may use, lowest first.
std::string host_and_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::string text = host_name() + " ";
  const bool known = sched_getaffinity(0, sizeof(set), &set) == 0;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    text += known && CPU_ISSET(core, &set) ? '1' : '0';
  }
  return text;
}

bool share_a_core(const std::string& a, const std::string& b) {
  const std::size_t name = a.find(' ');
  if (a.size() != b.size() || a.compare(0, name, b, 0, name) != 0) return false;
  for (std::size_t i = name + 1; i < a.size(); ++i) {
    if (a[i] == '1' && b[i] == '1') return true;
  }
  return false;
}

}  // namespace

std::string host_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown-host";
}

std::string job_id() {
  for (const char* variable : {"SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID"}) {
    if (const char* value = std::getenv(variable)) return value;
  }
  return "";
}

int default_threads(Communicator& world) {
  const std::string own = host_and_cores();
  const std::vector<std::string> all = gather_texts(world, own);
  const auto cores =
      std::count(own.begin() + static_cast<std::ptrdiff_t>(own.find(' ')), own.end(), '1');
  const auto sharers = std::count_if(
      all.begin(), all.end(), [&](const std::string& other) { return share_a_core(own, other); });
  return static_cast<int>(
      std::max<std::ptrdiff_t>(1, cores / std::max<std::ptrdiff_t>(1, sharers)));
}

}  // namespace simclr
