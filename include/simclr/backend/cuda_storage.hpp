#pragma once
// What is known of the CUDA backend without a device, in any build.

#include <cstddef>

#include "simclr/tensor/tensor.hpp"

namespace simclr {

/// Device memory of a tensor: channels of activations are padded to whole vectors.
std::size_t cuda_storage_bytes(const TensorInfo& tensor);

}  // namespace simclr
