#include "memory_budget.hpp"

#include <sys/statvfs.h>

#include <fstream>

#include "cgroup_memory.hpp"
#include "simclr/core/check.hpp"

namespace simclr {
namespace {

constexpr const char* kSharedMemory = "/dev/shm";

std::uint64_t available_memory_bytes() {
  std::ifstream in("/proc/meminfo");
  std::string key;
  std::uint64_t kibibytes = 0;
  std::string unit;
  while (in >> key >> kibibytes) {
    std::getline(in, unit);
    if (key == "MemAvailable:") return kibibytes * 1024;
  }
  fail("/proc/meminfo has no line 'MemAvailable'");
}

}  // namespace

MemoryBudget measure_memory_budget(bool shared) {
  MemoryBudget budget{available_memory_bytes(), "available memory"};
  const auto job_bytes = cgroup_memory_bytes();
  if (job_bytes && *job_bytes < budget.bytes) budget = {*job_bytes, "memory limit (control group)"};
  struct statvfs status {};
  if (shared && ::statvfs(kSharedMemory, &status) == 0) {
    const std::uint64_t free_bytes = std::uint64_t{status.f_bavail} * status.f_frsize;
    if (free_bytes < budget.bytes) budget = {free_bytes, kSharedMemory};
  }
  return budget;
}

}  // namespace simclr
