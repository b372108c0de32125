#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace simclr {

/// Memory that the control groups of this process leave it: the limit less what is in use (file
/// pages that the kernel would drop do not count), the least on the way up to the root. Batch
/// systems and containers limit jobs so, and kill what goes beyond. Empty where nothing is limited.
/// `memberships` is /proc/self/cgroup, `mount` where the hierarchies (versions 1 and 2) lie.
std::optional<std::uint64_t> cgroup_memory_bytes(
    const std::filesystem::path& memberships = "/proc/self/cgroup",
    const std::filesystem::path& mount = "/sys/fs/cgroup");

}  // namespace simclr
