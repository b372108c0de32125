#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace simclr::cuda {

/// u = z * inverse, inverse_norm (rows) = 1 / max(|z|, 1e-12); z, u (rows, stride), padded by
/// zeros.
void l2_normalize(const float* z, std::int64_t rows, int stride, float* u, float* inverse_norm,
                  cudaStream_t stream);
/// dz = (du - u (u.du)) * inverse_norm.
void l2_normalize_backward(const float* u, const float* inverse_norm, const float* du,
                           std::int64_t rows, int stride, float* dz, cudaStream_t stream);

}  // namespace simclr::cuda
