#pragma once
// How much memory a cache or a run may take.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace simclr {

/// Memory that this process may still use under the limits of its control groups, by which batch
/// systems and containers kill jobs: the smallest value of limit minus usage from its group up to
/// the root. File pages that the kernel can drop do not count as usage. Empty without any limit.
/// `memberships` is /proc/self/cgroup, `mount` the root of the hierarchies (versions 1 and 2).
std::optional<std::uint64_t> cgroup_memory_bytes(
    const std::filesystem::path& memberships = "/proc/self/cgroup",
    const std::filesystem::path& mount = "/sys/fs/cgroup");

/// Memory of this node that this process may still use: the smallest of the kernel's available
/// memory, the rest of the job's limit and, for memory shared by ranks, the free space of /dev/shm.
struct MemoryBudget {
  std::uint64_t bytes = 0;
  std::string limited_by;  ///< "available memory", "memory limit (control group)" or "/dev/shm"
};
MemoryBudget measure_memory_budget(bool shared);

/// "1.2 GB", or "3.4 MB" below 0.1 GB.
std::string size_text(std::uint64_t bytes);

/// True when a cache of this size leaves a tenth of the budget to the rest of the job.
inline bool fits(std::uint64_t bytes, const MemoryBudget& budget) {
  return bytes <= budget.bytes - budget.bytes / 10;
}

}  // namespace simclr
