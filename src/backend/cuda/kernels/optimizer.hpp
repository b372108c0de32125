#pragma once
// Updates of the flat buffers. One block works on a chunk: a piece of one parameter. Masters,
// moments and the masters' 16-bit copy are written in one pass; see program/update.hpp for the
// formulas.

#include <cuda_runtime.h>

#include <cstdint>

#include "simclr/program/update.hpp"

namespace simclr::cuda {

/// Elements of a chunk at most. The partition, and with it the order in which norms are summed,
/// depends on shapes only.
inline constexpr std::int64_t kUpdateChunk = 4096;

/// Elements [begin, begin + count) of the flat buffers.
struct UpdateChunk {
  std::int64_t begin = 0;
  std::int32_t count = 0;
  std::int32_t segment = 0;
  std::int32_t regularized = 1;
};
/// Chunks [first_chunk, first_chunk + chunks) are one parameter.
struct UpdateSegment {
  std::int32_t first_chunk = 0;
  std::int32_t chunks = 0;
  std::int32_t regularized = 1;
};

/// Sums of squares over a chunk.
struct LarsNorms {
  double of_w = 0, of_g = 0;
};

/// What every rule works on; all in device memory.
struct UpdateBuffers {
  const UpdateChunk* chunks = nullptr;
  std::int64_t chunk_count = 0;
  const UpdateSegment* segments = nullptr;
  LarsNorms* norms = nullptr;  ///< (chunks), scratch of LARS
  float* parameters = nullptr;
  const float* gradients = nullptr;
  float* momentum = nullptr;
  float* second_moment = nullptr;  ///< AdamW only
  const float* control = nullptr;
  const std::int32_t* verdict = nullptr;  ///< or null
};

/// One launch, for LARS two: norms, then the update. `shadow` is the copy of the masters in T (bf16
/// or f16); T = float and null: there is none.
template <class Rule, class T>
void update(const Rule& rule, const UpdateBuffers& buffers, T* shadow, cudaStream_t stream);

}  // namespace simclr::cuda
