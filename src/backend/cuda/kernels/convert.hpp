#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace simclr::cuda {

/// to[i] = from[i] rounded to T (bf16 or f16), i < count; both aligned to 16 bytes.
template <class T>
void convert(const float* from, T* to, std::int64_t count, cudaStream_t stream);

}  // namespace simclr::cuda
