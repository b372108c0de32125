#pragma once
// Device memory on the host: each allocation ends at a page that may not be touched, and is not
// accessible to host code at all outside kernels and copies.

#include <cstddef>

namespace emulation {

/// While one lives, device memory can be read and written.
class DeviceMemoryIsOpen {
 public:
  DeviceMemoryIsOpen();
  DeviceMemoryIsOpen(const DeviceMemoryIsOpen&) = delete;
  DeviceMemoryIsOpen& operator=(const DeviceMemoryIsOpen&) = delete;
  ~DeviceMemoryIsOpen();
};

/// Null when more is asked for than the device has (SIMCLR_EMULATED_MEMORY_MB, 4096 by default).
/// Filled with NaN.
void* allocate_device_memory(std::size_t bytes);
/// False when it is not the start of an allocation.
bool free_device_memory(void* memory);
std::size_t free_device_bytes();
std::size_t total_device_bytes();

}  // namespace emulation
