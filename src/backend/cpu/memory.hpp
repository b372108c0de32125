#pragma once
// Memory of the CPU backend, and the way between the host's canonical layout and ours.

#include "simclr/backend/backend.hpp"

namespace simclr::cpu {

/// Aligned to 64 bytes; large buffers to 2 MB, asking for huge pages.
Buffer allocate(std::size_t bytes);
/// Copies. `host` is the whole tensor, canonical, in the tensor's dtype or in f32.
void upload(const TensorInfo& tensor, std::byte* device, ConstBufferSpan host);
void download(const TensorInfo& tensor, const std::byte* device, BufferSpan host);

/// Whether none of `count` f32 values is infinite or NaN.
bool all_finite(const std::byte* values, std::size_t count);

}  // namespace simclr::cpu
