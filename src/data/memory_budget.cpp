#include "simclr/data/memory_budget.hpp"

#include <fmt/format.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "simclr/core/check.hpp"
#include "simclr/core/system.hpp"

namespace simclr {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSharedMemory = "/dev/shm";

std::uint64_t available_memory_bytes() {
  if (const auto bytes = proc_bytes("/proc/meminfo", "MemAvailable:")) return *bytes;
  refuse(
      "{}: nothing tells how much memory is available: /proc/meminfo has no line 'MemAvailable' or "
      "cannot be read; mount /proc",
      host_name());
}

/// File names of one version of the kernel's interface.
struct Interface {
  const char* limit;
  const char* usage;
  const char* droppable;  // key of memory.stat
};
constexpr Interface kVersion1{"memory.limit_in_bytes", "memory.usage_in_bytes",
                              "total_inactive_file"};
constexpr Interface kVersion2{"memory.max", "memory.current", "inactive_file"};

/// Reads a number; empty when the file is missing or says "max".
std::optional<std::uint64_t> read_number(const fs::path& file) {
  std::ifstream in(file);
  std::uint64_t number = 0;
  if (in >> number) return number;
  return std::nullopt;
}

std::uint64_t read_statistic(const fs::path& file, const std::string& key) {
  std::ifstream in(file);
  std::string name;
  std::uint64_t value = 0;
  while (in >> name >> value) {
    if (name == key) return value;
  }
  return 0;
}

/// The free memory under the limit of one group; empty when it has none.
std::optional<std::uint64_t> free_bytes(const fs::path& group, const Interface& names) {
  const auto limit = read_number(group / names.limit);
  const auto usage = read_number(group / names.usage);
  if (!limit || !usage) return std::nullopt;
  const std::uint64_t droppable = read_statistic(group / "memory.stat", names.droppable);
  const std::uint64_t needed = *usage - std::min(*usage, droppable);
  return *limit - std::min(*limit, needed);
}

bool holds_memory(const std::string& controllers) {
  return ("," + controllers + ",").find(",memory,") != std::string::npos;
}

}  // namespace

MemoryBudget measure_memory_budget(bool shared) {
  MemoryBudget budget{available_memory_bytes(), "available memory"};
  const auto job_bytes = cgroup_memory_bytes();
  if (job_bytes && *job_bytes < budget.bytes) budget = {*job_bytes, "memory limit (control group)"};
  struct statvfs status {};
  if (shared && ::statvfs(kSharedMemory, &status) == 0 && status.f_blocks > 0) {
    const std::uint64_t free_bytes = std::uint64_t{status.f_bavail} * status.f_frsize;
    if (free_bytes < budget.bytes) budget = {free_bytes, kSharedMemory};
  }
  return budget;
}

std::string size_text(std::uint64_t bytes) {
  constexpr double kGigabyte = 1e9;
  const double gigabytes = static_cast<double>(bytes) / kGigabyte;
  if (gigabytes >= 0.1) return fmt::format("{:.1f} GB", gigabytes);
  return fmt::format("{:.1f} MB", gigabytes * 1e3);
}

std::optional<std::uint64_t> cgroup_memory_bytes(const fs::path& memberships,
                                                 const fs::path& mount) {
  std::optional<std::uint64_t> least;
  const auto walk_up = [&](const fs::path& root, const fs::path& group, const Interface& names) {
    for (fs::path at = group.relative_path();; at = at.parent_path()) {
      if (const auto bytes = free_bytes(root / at, names))
        least = std::min(least.value_or(*bytes), *bytes);
      if (at.empty()) return;
    }
  };
  std::ifstream in(memberships);
  for (std::string line; std::getline(in, line);) {  // number:controllers:/path
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const fs::path group = line.substr(second + 1);
    if (controllers.empty()) {
      walk_up(mount, group, kVersion2);
      walk_up(mount / "unified", group, kVersion2);  // on systems that mount both versions
    } else if (holds_memory(controllers)) {
      walk_up(mount / "memory", group, kVersion1);
    }
  }
  return least;
}

}  // namespace simclr
