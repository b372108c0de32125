#include "device_memory.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <stdexcept>

namespace emulation {
namespace {

constexpr std::size_t kAlignment = 256;  // as cudaMalloc

std::size_t page_bytes() {
  static const auto bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}
std::size_t round_up(std::size_t value, std::size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

struct Allocation {
  std::byte* pages = nullptr;
  std::size_t data_bytes = 0;  // of pages, without the guard page behind them
  std::size_t asked = 0;
};

struct Memory {
  std::recursive_mutex mutex;
  std::map<void*, Allocation> allocations;
  std::size_t used = 0;
  int open = 0;
};
Memory& memory() {
  static Memory all;
  return all;
}

void protect(const Allocation& allocation, int access) {
  if (mprotect(allocation.pages, allocation.data_bytes, access) != 0) {
    throw std::runtime_error("cannot protect emulated device memory");
  }
}

}  // namespace

DeviceMemoryIsOpen::DeviceMemoryIsOpen() {
  Memory& all = memory();
  const std::lock_guard lock(all.mutex);
  if (all.open++ > 0) return;
  for (const auto& [start, allocation] : all.allocations)
    protect(allocation, PROT_READ | PROT_WRITE);
}
DeviceMemoryIsOpen::~DeviceMemoryIsOpen() {
  Memory& all = memory();
  const std::lock_guard lock(all.mutex);
  if (--all.open > 0) return;
  for (const auto& [start, allocation] : all.allocations) protect(allocation, PROT_NONE);
}

void* allocate_device_memory(std::size_t bytes) {
  Memory& all = memory();
  const std::lock_guard lock(all.mutex);
  if (bytes == 0 || bytes > total_device_bytes() - all.used) return nullptr;
  Allocation allocation{.asked = bytes};
  allocation.data_bytes = round_up(round_up(bytes, kAlignment), page_bytes());
  const std::size_t mapped = allocation.data_bytes + page_bytes();
  void* pages = mmap(nullptr, mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return nullptr;
  allocation.pages = static_cast<std::byte*>(pages);
  std::byte* start = allocation.pages + allocation.data_bytes - round_up(bytes, kAlignment);
  protect(allocation, PROT_READ | PROT_WRITE);
  std::memset(start, 0xFF, bytes);
  if (all.open == 0) protect(allocation, PROT_NONE);
  all.allocations[start] = allocation;
  all.used += bytes;
  return start;
}

bool free_device_memory(void* start) {
  Memory& all = memory();
  const std::lock_guard lock(all.mutex);
  const auto found = all.allocations.find(start);
  if (found == all.allocations.end()) return false;
  munmap(found->second.pages, found->second.data_bytes + page_bytes());
  all.used -= found->second.asked;
  all.allocations.erase(found);
  return true;
}

std::size_t total_device_bytes() {
  static const std::size_t megabytes = [] {
    const char* text = std::getenv("SIMCLR_EMULATED_MEMORY_MB");
    return text != nullptr ? std::strtoull(text, nullptr, 10) : 4096ULL;
  }();
  return megabytes << 20;
}
std::size_t free_device_bytes() { return total_device_bytes() - memory().used; }

}  // namespace emulation
