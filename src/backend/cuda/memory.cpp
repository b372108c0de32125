#include "memory.hpp"

#include <cstring>
#include <vector>

#include "../host_values.hpp"
#include "layout.hpp"
#include "simclr/core/check.hpp"

namespace simclr::cuda {

namespace {

constexpr double kMegabyte = 1e6;

struct MemoryState {
  std::size_t free = 0, total = 0;
};
/// Zeros where the device cannot even say that.
MemoryState ask_for_memory() {
  MemoryState state;
  if (cudaMemGetInfo(&state.free, &state.total) != cudaSuccess) {
    (void)cudaGetLastError();
    return {};
  }
  return state;
}

template <class Stored, class Host>
void store(const Layout& layout, Stored* stored, const Host* host) {
  for (std::int64_t row = 0; row < layout.rows(); ++row) {
    Stored* to = stored + row * layout.stride;
    for (std::int64_t c = 0; c < layout.channels; ++c) {
      to[c] = convert_value<Stored>(host[row * layout.channels + c]);
    }
    for (std::int64_t c = layout.channels; c < layout.stride; ++c) to[c] = Stored{};
  }
}

template <class Stored, class Host>
void load(const Layout& layout, const Stored* stored, Host* host) {
  for (std::int64_t row = 0; row < layout.rows(); ++row) {
    for (std::int64_t c = 0; c < layout.channels; ++c) {
      host[row * layout.channels + c] = convert_value<Host>(stored[row * layout.stride + c]);
    }
  }
}

/// Whether the host's bytes are those of the device.
bool holds_same_bytes(const Layout& layout, DType host) {
  return !layout.padded() && host == layout.dtype;
}

void enqueue_copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                  Device& device) {
  check(cudaMemcpyAsync(to, from, bytes, kind, device.stream(Lane::compute)),
        "copy to or from the device");
}
/// A copy from pageable memory blocks inside the runtime, where nobody looks after communicators:
/// the lane is to be empty before.
void copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, Device& device) {
  device.wait(device.stream(Lane::compute));
  enqueue_copy(to, from, bytes, kind, device);
  device.wait(device.stream(Lane::compute));
}

}  // namespace

std::string describe_free_memory() {
  const auto [free, total] = ask_for_memory();
  return fmt::format(
      "{:.1f} of {:.1f} MB of device memory are free; a smaller batch or more ranks would need "
      "less, nvidia-smi shows what else uses the device",
      static_cast<double>(free) / kMegabyte, static_cast<double>(total) / kMegabyte);
}

void fail_for_memory(std::string_view call) {
  throw OutOfDeviceMemory(
      0, ask_for_memory().free, std::string(call),
      fmt::format("out of device memory: cannot {}: {}", call, describe_free_memory()));
}

Buffer allocate_device(std::size_t bytes, std::string_view purpose) {
  void* memory = nullptr;
  const cudaError_t status = cudaMalloc(&memory, bytes > 0 ? bytes : 1);
  if (status == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    throw OutOfDeviceMemory(
        bytes, ask_for_memory().free, std::string(purpose),
        fmt::format("out of device memory: no room for {}: {:.1f} MB are asked for, {}", purpose,
                    static_cast<double>(bytes) / kMegabyte, describe_free_memory()));
  }
  check(status, "allocate device memory");
  return {static_cast<std::byte*>(memory), bytes, [](std::byte* data) { cudaFree(data); }};
}

Buffer allocate_pinned(std::size_t bytes, std::string_view purpose) {
  void* memory = nullptr;
  const cudaError_t status = cudaHostAlloc(&memory, bytes > 0 ? bytes : 1, cudaHostAllocDefault);
  if (status == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    fail(
        "out of page-locked host memory: no room for {}: {:.1f} MB are asked for; a smaller batch "
        "or more nodes would need less of a node, --cache distributed or none leaves more of it",
        purpose, static_cast<double>(bytes) / kMegabyte);
  }
  check(status, "allocate page-locked host memory");
  return {static_cast<std::byte*>(memory), bytes, [](std::byte* data) { cudaFreeHost(data); }};
}

void enqueue_upload(const TensorInfo& tensor, std::byte* to, ConstBufferSpan host, Device& device) {
  check_host(tensor, host.count, host.dtype);
  const Layout layout = layout_of(tensor);
  if (holds_same_bytes(layout, host.dtype)) {
    enqueue_copy(to, host.data, host.bytes(), cudaMemcpyHostToDevice, device);
    return;
  }
  std::vector<std::byte> stored(layout.stored_bytes());
  with_type(layout.dtype, [&]<class Stored>(Stored) {
    auto* values = reinterpret_cast<Stored*>(stored.data());
    if (host.dtype == layout.dtype) {
      store(layout, values, static_cast<const Stored*>(host.data));
    } else {
      store(layout, values, static_cast<const float*>(host.data));
    }
  });
  copy(to, stored.data(), stored.size(), cudaMemcpyHostToDevice, device);
}

void enqueue_download(const TensorInfo& tensor, const std::byte* from, BufferSpan host,
                      Device& device) {
  check_host(tensor, host.count, host.dtype);
  const Layout layout = layout_of(tensor);
  if (holds_same_bytes(layout, host.dtype)) {
    enqueue_copy(host.data, from, host.bytes(), cudaMemcpyDeviceToHost, device);
    return;
  }
  std::vector<std::byte> stored(layout.stored_bytes());
  copy(stored.data(), from, stored.size(), cudaMemcpyDeviceToHost, device);
  with_type(layout.dtype, [&]<class Stored>(Stored) {
    const auto* values = reinterpret_cast<const Stored*>(stored.data());
    if (host.dtype == layout.dtype) {
      load(layout, values, static_cast<Stored*>(host.data));
    } else {
      load(layout, values, static_cast<float*>(host.data));
    }
  });
}

}  // namespace simclr::cuda
