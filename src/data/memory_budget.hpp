#pragma once

#include <cstdint>
#include <string>

#include "simclr/data/loader.hpp"

namespace simclr {

/// Memory of this node that a cache may take: what the kernel calls available, what the job's limit
/// leaves and, when several ranks share it, what the shared-memory file system has left.
struct MemoryBudget {
  std::uint64_t bytes = 0;
  std::string limited_by;  ///< "available memory", "memory limit (control group)" or "/dev/shm"
};
MemoryBudget measure_memory_budget(bool shared);

/// Whether a cache of this many bytes leaves a tenth of the budget to the rest of the job.
inline bool fits(std::uint64_t bytes, const MemoryBudget& budget) {
  return bytes <= budget.bytes - budget.bytes / 10;
}

}  // namespace simclr
