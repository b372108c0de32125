#pragma once
// Batch normalization's kernels. Activations (rows, stride) of T: f32, bf16 or f16; per-channel
// arrays f32 (C) or (G,2,C), sums f64 (G,2,C), all packed. The formulas stand in program/ops.hpp.
//
// Bytes moved for each element (T stands for its size). Partial sums add 1.5 % of what is read to
// tensors of 150 MB and more, 6 % at 35 MB, and fit the second-level cache:
//   statistics       read y                                       1 T
//   apply            read y, [residual]; write z                  2 T, 3 T with a residual
//   backward_reduce  read dz, y, [dz_other], [z]; [write dz]      2 T to 5 T
//   backward_apply   read dz, y; write dy                         3 T

#include <cuda_runtime.h>

#include <cstddef>

#include "row_tiles.hpp"

namespace simclr::cuda {

/// What a stage of partial sums needs.
inline std::size_t bn_partial_bytes(const RowTiles& tiles) {
  return static_cast<std::size_t>(tiles.all_chunks()) * 2 *
         static_cast<std::size_t>(tiles.channels) * sizeof(double);
}

/// partials f64 (all chunks, 2, C): sums of (y - shift) and its square over each chunk.
template <class T>
void bn_statistics(const RowTiles& tiles, const T* y, const float* shift, double* partials,
                   cudaStream_t stream);

/// What a convolution has summed up: `sums` f32 (2, stride) of y and y^2 over `rows` rows, as stats
/// f64 (1,2,C) about a shift.
struct BnPlainSums {
  int channels = 1;
  int stride = 1;
  double rows = 1;
  const float* sums = nullptr;
};
void bn_shift_sums(const BnPlainSums& plain, const float* shift, double* stats,
                   cudaStream_t stream);

struct BnReduceOperands {
  bool relu = false;
  bool write_back = false;
  const float* affine = nullptr;
  const float* saved = nullptr;
  double* partials = nullptr;  ///< f64 (all chunks, 2, C): sums of g and of g * (y - mean)
};
/// dz_other and z may be null.
template <class T>
void bn_backward_reduce(const RowTiles& tiles, T* dz, const T* dz_other, const T* z, const T* y,
                        const BnReduceOperands& operands, cudaStream_t stream);

/// Where the chunks' partial sums go.
struct BnTotals {
  double* sums = nullptr;        ///< (G,2,C)
  const float* saved = nullptr;  ///< not null: the second sums times its istd
  float* dgamma = nullptr;       ///< not null: the second sums over all groups
  float* dbeta = nullptr;        ///< not null: the first sums over all groups
};
void bn_add_partials(const RowTiles& tiles, const double* partials, const BnTotals& totals,
                     cudaStream_t stream);

struct BnFinalizeOperands {
  int channels = 1;
  int groups = 1;
  double count = 1, epsilon = 0, momentum = 0;
  const double* stats = nullptr;
  const float* gamma = nullptr;
  const float* beta = nullptr;  ///< or null
  float* running_mean = nullptr;
  float* running_var = nullptr;
  float* affine = nullptr;
  float* saved = nullptr;
};
void bn_finalize(const BnFinalizeOperands& operands, cudaStream_t stream);

struct BnInferenceOperands {
  int channels = 1;
  double epsilon = 0;
  const float* gamma = nullptr;
  const float* beta = nullptr;  ///< or null
  const float* running_mean = nullptr;
  const float* running_var = nullptr;
  float* affine = nullptr;
};
void bn_inference(const BnInferenceOperands& operands, cudaStream_t stream);

/// residual and residual_affine may be null.
template <class T>
void bn_apply(const RowTiles& tiles, const T* y, const float* affine, const T* residual,
              const float* residual_affine, bool relu, T* z, cudaStream_t stream);

struct BnGradientOperands {
  bool relu = false;
  double inverse_count = 1;
  const float* affine = nullptr;
  const float* saved = nullptr;
  const float* gamma = nullptr;
  const double* sums = nullptr;
};
template <class T>
void bn_backward_apply(const RowTiles& tiles, const T* dz, const T* y,
                       const BnGradientOperands& operands, T* dy, cudaStream_t stream);

}  // namespace simclr::cuda
