#pragma once

#include <cuda_runtime.h>

#include <cstddef>

namespace simclr::cuda {

/// Whether none of `count` f32 values on the device is infinite or NaN; waits for the answer.
bool all_finite(const float* values, std::size_t count, cudaStream_t stream);

}  // namespace simclr::cuda
