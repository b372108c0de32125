#pragma once
// Device memory, and the way between the host's canonical layout and ours.

#include <string>
#include <string_view>

#include "device.hpp"
#include "simclr/backend/backend.hpp"

namespace simclr::cuda {

/// Device memory, aligned to 256 bytes. Throws OutOfDeviceMemory saying for what there is not
/// enough, how much there is and what to do.
Buffer allocate_device(std::size_t bytes, std::string_view purpose);
/// Page-locked host memory. Throws Error alike.
Buffer allocate_pinned(std::size_t bytes, std::string_view purpose);
/// "8.4 of 80.0 MB of device memory are free", and what would need less.
std::string describe_free_memory();

/// `host` is the whole tensor, canonical, in the tensor's dtype or in f32. Both come after what is
/// enqueued on the compute lane and wait for it: upload until the host memory may be used again,
/// download until it is filled.
void upload(const TensorInfo& tensor, std::byte* to, ConstBufferSpan host, Device& device);
void download(const TensorInfo& tensor, const std::byte* from, BufferSpan host, Device& device);
/// Copies of a tensor without padding from and to page-locked memory of its dtype, in their turn.
void enqueue_upload(const TensorInfo& tensor, std::byte* to, ConstBufferSpan host,
                    cudaStream_t stream);
void enqueue_download(const TensorInfo& tensor, const std::byte* from, BufferSpan host,
                      cudaStream_t stream);

}  // namespace simclr::cuda
