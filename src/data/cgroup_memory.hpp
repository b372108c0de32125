#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace simclr {

/// Memory that this process may still use under the limits of its control groups, by which batch
/// systems and containers kill jobs: the smallest value of limit minus usage from its group up to
/// the root. File pages that the kernel can drop do not count as usage. Empty without any limit.
/// `memberships` is /proc/self/cgroup, `mount` the root of the hierarchies (versions 1 and 2).
std::optional<std::uint64_t> cgroup_memory_bytes(
    const std::filesystem::path& memberships = "/proc/self/cgroup",
    const std::filesystem::path& mount = "/sys/fs/cgroup");

}  // namespace simclr
