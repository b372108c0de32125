#pragma once

#include <cstdint>
#include <string>

#include "simclr/data/loader.hpp"

namespace simclr {

/// Memory of this node that a cache may use: the smallest of the kernel's available memory, the
/// rest of the job's limit and, for memory shared by ranks, the free space of /dev/shm.
struct MemoryBudget {
  std::uint64_t bytes = 0;
  std::string limited_by;  ///< "available memory", "memory limit (control group)" or "/dev/shm"
};
MemoryBudget measure_memory_budget(bool shared);

/// True when a cache of this size leaves a tenth of the budget to the rest of the job.
inline bool fits(std::uint64_t bytes, const MemoryBudget& budget) {
  return bytes <= budget.bytes - budget.bytes / 10;
}

}  // namespace simclr
