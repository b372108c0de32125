#pragma once
// Updates of the flat buffers. One block works on a chunk: a piece of one parameter. Masters,
// moments and the masters' 16-bit copy are written in one pass; see program/ops.hpp for the
// formulas.

#include <cuda_runtime.h>

#include <cstdint>

namespace simclr::cuda {

/// Elements of a chunk at most. The partition, and with it the order in which norms are summed,
/// depends on shapes only.
inline constexpr std::int64_t kUpdateChunk = 4096;

/// Elements [begin, begin + count) of the flat buffers.
struct UpdateChunk {
  std::int64_t begin = 0;
  std::int32_t count = 0;
  std::int32_t segment = 0;
  std::int32_t regularised = 1;
};
/// Chunks [first_chunk, first_chunk + chunks) are one parameter.
struct UpdateSegment {
  std::int32_t first_chunk = 0;
  std::int32_t chunks = 0;
  std::int32_t regularised = 1;
};

/// What every update works on; all in device memory.
struct Update {
  const UpdateChunk* chunks = nullptr;
  std::int64_t chunk_count = 0;
  float* parameters = nullptr;
  const float* gradients = nullptr;
  float* momentum = nullptr;
  const float* control = nullptr;
  const std::int32_t* verdict = nullptr;  ///< or null
};

struct LarsNorms {
  double of_w = 0, of_g = 0;  ///< sums of squares over a chunk
};
struct LarsScratch {
  const UpdateSegment* segments = nullptr;
  LarsNorms* norms = nullptr;  ///< (chunks)
};
struct LarsFactors {
  float momentum = 0, weight_decay = 0, trust_coefficient = 0;
};
struct SgdFactors {
  float momentum = 0, weight_decay = 0;
  bool nesterov = false;
};
struct AdamwFactors {
  float beta1 = 0, beta2 = 0, epsilon = 0, weight_decay = 0;
};

/// One launch each, LARS two: norms, then the update. `shadow` is the copy of the masters in T
/// (bf16 or f16); T = float and null: there is none.
template <class T>
void lars_update(const Update& update, const LarsScratch& scratch, const LarsFactors& factors,
                 T* shadow, cudaStream_t stream);
template <class T>
void sgd_update(const Update& update, const SgdFactors& factors, T* shadow, cudaStream_t stream);
template <class T>
void adamw_update(const Update& update, const AdamwFactors& factors, float* second_moment,
                  T* shadow, cudaStream_t stream);

}  // namespace simclr::cuda
