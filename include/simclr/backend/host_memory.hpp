#pragma once
// A backend's host memory for standard containers.

#include <map>
#include <memory_resource>
#include <mutex>

#include "simclr/backend/backend.hpp"

namespace simclr {

/// Page-locked where the backend's device copies fastest from such memory; for few large blocks.
/// Any thread may allocate. Outlives what was allocated; the backend outlives it.
class HostMemory final : public std::pmr::memory_resource {
 public:
  explicit HostMemory(Backend& backend) : backend_(backend) {}

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    require(alignment <= kAlignment, "host memory is aligned as is asked for");
    const std::lock_guard lock(mutex_);
    Buffer buffer = backend_.allocate_host(bytes);
    void* data = buffer.data();
    buffers_.emplace(data, std::move(buffer));
    return data;
  }
  void do_deallocate(void* data, std::size_t /*bytes*/, std::size_t /*alignment*/) override {
    const std::lock_guard lock(mutex_);
    buffers_.erase(data);
  }
  [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override {
    return this == &other;
  }

  static constexpr std::size_t kAlignment = 64;  // of every Buffer
  Backend& backend_;
  std::mutex mutex_;
  std::map<void*, Buffer> buffers_;
};

}  // namespace simclr
