#pragma once
// Whether values are finite.

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace simclr::cuda {

/// verdict[0] = 1 where any loss sum, verdict[1] = 1 where any gradient is infinite or NaN.
void check_finite(const double* loss_sums, std::int64_t loss_count, const float* gradients,
                  std::int64_t gradient_count, std::int32_t* verdict, cudaStream_t stream);

/// Whether none of `count` f32 values on the device is infinite or NaN; waits for the answer.
bool all_finite(const float* values, std::size_t count, cudaStream_t stream);

}  // namespace simclr::cuda
