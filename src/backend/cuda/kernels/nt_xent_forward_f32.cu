// The contrastive softmax in f32, with an online maximum.

#include <cuda_runtime.h>

#include "../launch.hpp"
#include "float_tile.cuh"
#include "nt_xent.hpp"
#include "reduce.cuh"
#include "similarity.cuh"

namespace simclr::cuda {

namespace {

static_assert(kFloatTile == kFloatRowsPerBlock);

/// sum and weighted are relative to largest, which is -infinity as long as nothing was added.
struct OnlineSoftmax {
  float largest = lowest_similarity();
  float sum = 0;
  float weighted = 0;
};

/// The same sums relative to a maximum that is not smaller.
__device__ __forceinline__ void raise(OnlineSoftmax& softmax, float largest,
                                      float inverse_temperature) {
  if (!(largest > softmax.largest)) return;
  const float shift = (softmax.largest - largest) * inverse_temperature;
  const float factor = expf(shift);
  // The first shift is infinite and must not make 0 * infinity.
  softmax.weighted = factor > 0 ? factor * fmaf(shift, softmax.sum, softmax.weighted) : 0;
  softmax.sum *= factor;
  softmax.largest = largest;
}

__device__ __forceinline__ void merge_lanes(OnlineSoftmax& softmax, float inverse_temperature) {
#pragma unroll
  for (int distance = 1; distance < 16; distance *= 2) {
    OnlineSoftmax other{__shfl_xor_sync(kAllLanes, softmax.largest, distance),
                        __shfl_xor_sync(kAllLanes, softmax.sum, distance),
                        __shfl_xor_sync(kAllLanes, softmax.weighted, distance)};
    raise(softmax, other.largest, inverse_temperature);
    raise(other, softmax.largest, inverse_temperature);
    softmax.sum += other.sum;
    softmax.weighted += other.weighted;
  }
}

/// Adds a thread's share of a tile's row; columns that do not count are -infinity.
__device__ __forceinline__ void accumulate(OnlineSoftmax& softmax, const float (&s)[8],
                                           float inverse_temperature) {
  float largest = s[0];
#pragma unroll
  for (int j = 1; j < 8; ++j) largest = fmaxf(largest, s[j]);
  raise(softmax, largest, inverse_temperature);
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    if (s[j] == lowest_similarity()) continue;
    const float x = (s[j] - softmax.largest) * inverse_temperature;
    const float exponential = expf(x);
    softmax.sum += exponential;
    softmax.weighted = fmaf(exponential, x, softmax.weighted);
  }
}

/// Block (x, y): rows from x * kFloatTile on, columns of split y.
__global__ void __launch_bounds__(kFloatThreads)
    softmax_f32_kernel(SimilarityShape shape, const float* __restrict__ u,
                       const float* __restrict__ u_all, float inverse_temperature,
                       RowPartial* __restrict__ partials) {
  __shared__ FloatSlices slices;
  const int first_row = static_cast<int>(blockIdx.x) * kFloatTile;
  const float* rows = u + std::int64_t{first_row} * shape.stride;
  const ColumnRange columns = columns_of_split(shape, static_cast<int>(blockIdx.y));
  OnlineSoftmax softmax[8];
  float partner[8];
#pragma unroll
  for (float& similarity : partner) similarity = lowest_similarity();

  for (int first = columns.first; first < columns.last; first += kFloatTile) {
    FloatSums s;
    similarity_tile(rows, shape.rows - first_row, u_all + std::int64_t{first} * shape.stride,
                    shape.columns - first, shape.stride, slices, s);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int self = self_of(shape, first_row + spread(tile_row(), i));
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        const int column = first + spread(tile_column(), j);
        if (is_partner(shape, column, column - self)) partner[i] = s[i][j];
        if (column == self || column >= shape.columns) s[i][j] = lowest_similarity();
      }
      accumulate(softmax[i], s[i], inverse_temperature);
    }
  }
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    merge_lanes(softmax[i], inverse_temperature);
#pragma unroll
    for (int distance = 1; distance < 16; distance *= 2) {
      partner[i] = fmaxf(partner[i], __shfl_xor_sync(kAllLanes, partner[i], distance));
    }
    const int row = first_row + spread(tile_row(), i);
    if (tile_column() == 0 && row < shape.rows) {
      partials[std::int64_t{blockIdx.y} * shape.rows + row] = {softmax[i].largest, softmax[i].sum,
                                                               softmax[i].weighted, partner[i]};
    }
  }
}

}  // namespace

void similarity_softmax(const SimilarityShape& shape, const float* u, const float* u_all,
                        float inverse_temperature, RowPartial* partials, cudaStream_t stream) {
  launch(softmax_f32_kernel,
         {.grid = dim3(static_cast<unsigned>(ceil_div(shape.rows, kFloatTile)),
                       static_cast<unsigned>(shape.splits)),
          .block = dim3(kFloatThreads)},
         stream, shape, u, u_all, inverse_temperature, partials);
}

}  // namespace simclr::cuda
