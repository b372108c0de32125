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

/// Copies in their turn on the compute lane; `host` is the whole tensor, canonical, in the tensor's
/// dtype or in f32. They wait for the lane where host and device do not hold the same bytes.
void enqueue_upload(const TensorInfo& tensor, std::byte* to, ConstBufferSpan host, Device& device);
void enqueue_download(const TensorInfo& tensor, const std::byte* from, BufferSpan host,
                      Device& device);

/// Copies each batch to the device on the copy lane, while a step runs. Throws OutOfDeviceMemory.
std::unique_ptr<InputStage> make_input_stage(std::vector<InputTensor> inputs, Device& device);

}  // namespace simclr::cuda
