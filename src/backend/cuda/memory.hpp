#pragma once
// Device memory, and the way between the host's canonical layout and ours.

#include "device.hpp"
#include "simclr/backend/backend.hpp"

namespace simclr::cuda {

/// Device memory, aligned to 256 bytes. Throws Error saying how much there is when it is not
/// enough.
Buffer allocate_device(std::size_t bytes);
/// Page-locked host memory.
Buffer allocate_pinned(std::size_t bytes);

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
