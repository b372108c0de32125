#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace simclr::cuda {

struct CrossEntropy {
  const float* logits = nullptr;         ///< (rows, stride)
  const std::int32_t* labels = nullptr;  ///< (rows); negative: padding
  float* dlogits = nullptr;              ///< (rows, stride), or null
  double* terms = nullptr;               ///< (rows, 4): loss, top-1, top-5, samples of each row
  std::int64_t rows = 0;
  int classes = 0, stride = 0;
  float gradient_scale = 1;
};
void softmax_cross_entropy(const CrossEntropy& operands, cudaStream_t stream);

}  // namespace simclr::cuda
