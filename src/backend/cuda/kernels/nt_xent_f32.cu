// NT-Xent in f32: the contrastive softmax, with an online maximum, and the gradient.

#include <cuda_runtime.h>

#include "../launch.hpp"
#include "element.cuh"
#include "nt_xent.hpp"
#include "reduce.cuh"
#include "similarity.cuh"

namespace simclr::cuda {

namespace {

// ---- products of 128 x 128 tiles: 256 threads of 8 x 8 sums each, operands in slices of depth 8
// through two places in shared memory

constexpr int kFloatTile = kFloatRowsPerBlock;
constexpr int kFloatThreads = 256;
constexpr int kSliceDepth = 8;
/// Distance between the rows of a slice, chosen so that stores of two threads that share a tile row
/// go to different banks.
constexpr int kFloatPitch = kFloatTile + 4;

/// Slice of an operand, depth first.
using FloatSlice = float[kSliceDepth][kFloatPitch];
struct FloatSlices {
  alignas(16) FloatSlice a[2], b[2];
};
using FloatSums = float[8][8];

/// The thread's place among 16 x 16.
__device__ __forceinline__ int tile_row() { return static_cast<int>(threadIdx.x) / 16; }
__device__ __forceinline__ int tile_column() { return static_cast<int>(threadIdx.x) % 16; }
/// The tile's row (column) that is the i-th of 8 of the thread at row (column) `place`.
__device__ __forceinline__ int spread(int place, int i) { return i / 4 * 64 + place * 4 + i % 4; }

__device__ __forceinline__ void load_operand(const float (&row)[kFloatPitch], int place,
                                             float (&values)[8]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const Pack<float> pack = load_pack(row + half * 64 + place * 4);
#pragma unroll
    for (int i = 0; i < 4; ++i) values[half * 4 + i] = pack.values[i];
  }
}

/// sums += a^T b.
__device__ __forceinline__ void multiply_slice(const FloatSlice& a, const FloatSlice& b,
                                               FloatSums& sums) {
#pragma unroll 4  // of all 8, the gradient's registers do not suffice
  for (int k = 0; k < kSliceDepth; ++k) {
    float of_a[8];
    float of_b[8];
    load_operand(a[k], tile_row(), of_a);
    load_operand(b[k], tile_column(), of_b);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
#pragma unroll
      for (int j = 0; j < 8; ++j) sums[i][j] = fmaf(of_a[i], of_b[j], sums[i][j]);
    }
  }
}

/// Four elements of embedding threadIdx.x / 2; zeros for those that are not there.
__device__ __forceinline__ Pack<float> fetch_transposed(const float* embeddings, int count,
                                                        int stride, int depth) {
  const int row = static_cast<int>(threadIdx.x) / 2;
  if (row >= count) return {};
  return load_pack(embeddings + std::int64_t{row} * stride + depth + threadIdx.x % 2 * 4);
}
__device__ __forceinline__ void store_transposed(FloatSlice& slice, const Pack<float>& pack) {
#pragma unroll
  for (int i = 0; i < 4; ++i) slice[threadIdx.x % 2 * 4 + i][threadIdx.x / 2] = pack.values[i];
}

/// sums = the products of 128 embeddings with 128 others; fewer of either are there when a count
/// says so, the rest is zero. `stride` is a multiple of 8. Ends with a barrier.
__device__ __forceinline__ void similarity_tile(const float* rows, int row_count,
                                                const float* columns, int column_count, int stride,
                                                FloatSlices& slices, FloatSums& sums) {
#pragma unroll
  for (int i = 0; i < 8; ++i) {
#pragma unroll
    for (int j = 0; j < 8; ++j) sums[i][j] = 0;
  }
  store_transposed(slices.a[0], fetch_transposed(rows, row_count, stride, 0));
  store_transposed(slices.b[0], fetch_transposed(columns, column_count, stride, 0));
  __syncthreads();
  int place = 0;
  for (int depth = kSliceDepth; depth < stride; depth += kSliceDepth) {
    const Pack<float> next_a = fetch_transposed(rows, row_count, stride, depth);
    const Pack<float> next_b = fetch_transposed(columns, column_count, stride, depth);
    multiply_slice(slices.a[place], slices.b[place], sums);
    place ^= 1;
    store_transposed(slices.a[place], next_a);
    store_transposed(slices.b[place], next_b);
    __syncthreads();
  }
  multiply_slice(slices.a[place], slices.b[place], sums);
  __syncthreads();
}

// ---- the softmax

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
  float rival[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) partner[i] = rival[i] = lowest_similarity();

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
        if (column == self || column >= shape.columns) s[i][j] = lowest_similarity();
        if (is_partner(shape, column, column - self)) {
          partner[i] = s[i][j];
        } else {
          rival[i] = fmaxf(rival[i], s[i][j]);
        }
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
      rival[i] = fmaxf(rival[i], __shfl_xor_sync(kAllLanes, rival[i], distance));
    }
    const int row = first_row + spread(tile_row(), i);
    if (tile_column() == 0 && row < shape.rows) {
      partials[std::int64_t{blockIdx.y} * shape.rows + row] = {
          softmax[i].largest, softmax[i].sum, softmax[i].weighted, partner[i], rival[i]};
    }
  }
}

/// Weights of a tile, columns first: slices of 8 columns are operands of the second product.
struct GradientShared {
  FloatSlices slices;
  float weights[kFloatTile][kFloatPitch];
  float lse[kFloatTile];  ///< of the block's rows
};

/// s becomes P_ij + P_ji - 2 [j is i's partner], 0 for j = i.
__device__ __forceinline__ void pair_weights(const SimilarityShape& shape, const float* lse,
                                             const float* lse_all, float inverse_temperature,
                                             int first_row, int first_column, FloatSums& s) {
  const int row = first_row + tile_row() * 4;
  const int column = first_column + tile_column() * 4;
  const int distance = column - self_of(shape, row);
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    const int right = spread(0, j);
    const bool is_column = column + right < shape.columns;
    const float other = is_column ? lse_all[column + right] : 0;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int down = spread(0, i);
      const float x = s[i][j] * inverse_temperature;
      float weight = expf(x - lse[tile_row() * 4 + down]) + expf(x - other);
      if (is_partner(shape, column + right, distance + right - down)) weight -= 2;
      s[i][j] = distance + right == down || !is_column ? 0 : weight;
    }
  }
}

__device__ __forceinline__ void store_weights(const FloatSums& s,
                                              float (&weights)[kFloatTile][kFloatPitch]) {
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    float* to = weights[spread(tile_column(), j)];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      Pack<float> pack;
#pragma unroll
      for (int i = 0; i < 4; ++i) pack.values[i] = s[half * 4 + i][j];
      store_pack(to + half * 64 + tile_row() * 4, pack);
    }
  }
}

/// Four elements of embedding threadIdx.x / 32 of a slice of 8; zeros for those that are not there.
__device__ __forceinline__ Pack<float> fetch_embeddings(const float* embeddings, int count,
                                                        int stride, int depth) {
  const int row = static_cast<int>(threadIdx.x) / 32;
  const int own = depth + static_cast<int>(threadIdx.x) % 32 * 4;
  if (row >= count || own >= stride) return {};
  return load_pack(embeddings + std::int64_t{row} * stride + own);
}
__device__ __forceinline__ void store_embeddings(FloatSlice& slice, const Pack<float>& pack) {
  store_pack(slice[threadIdx.x / 32] + threadIdx.x % 32 * 4, pack);
}

/// gradients += weights * embeddings [depth, depth + 128) of the tile's columns. Ends with a
/// barrier.
__device__ __forceinline__ void accumulate_gradients(const float* embeddings, int count, int stride,
                                                     int depth, GradientShared& shared,
                                                     FloatSums& gradients) {
  store_embeddings(shared.slices.b[0], fetch_embeddings(embeddings, count, stride, depth));
  __syncthreads();
  const int columns = min(count, kFloatTile);
  int place = 0;
  for (int column = 0; column < columns; column += kSliceDepth) {
    const int next = column + kSliceDepth;
    const Pack<float> pack =
        fetch_embeddings(embeddings + std::int64_t{next} * stride, columns - next, stride, depth);
    multiply_slice(reinterpret_cast<const FloatSlice&>(shared.weights[column]),
                   shared.slices.b[place], gradients);
    place ^= 1;
    store_embeddings(shared.slices.b[place], pack);
    __syncthreads();
  }
}

/// Block (x, y, z): rows from x * kFloatTile and depth from y * kFloatTile on, columns of split z.
__global__ void __launch_bounds__(kFloatThreads)
    gradient_f32_kernel(SimilarityShape shape, const float* __restrict__ u,
                        const float* __restrict__ u_all, const float* __restrict__ lse,
                        const float* __restrict__ lse_all, float inverse_temperature,
                        GradientParts parts) {
  auto& shared = *dynamic_shared<GradientShared>();
  const int first_row = static_cast<int>(blockIdx.x) * kFloatTile;
  const int first_depth = static_cast<int>(blockIdx.y) * kFloatTile;
  const int split = static_cast<int>(blockIdx.z);
  const float* rows = u + std::int64_t{first_row} * shape.stride;
  const ColumnRange columns = columns_of_split(shape, split);
  if (threadIdx.x < kFloatTile) {
    const int row = first_row + static_cast<int>(threadIdx.x);
    shared.lse[threadIdx.x] = row < shape.rows ? lse[row] : 0;
  }
  FloatSums gradients{};
  for (int first = columns.first; first < columns.last; first += kFloatTile) {
    const float* embeddings = u_all + std::int64_t{first} * shape.stride;
    FloatSums s;
    similarity_tile(rows, shape.rows - first_row, embeddings, shape.columns - first, shape.stride,
                    shared.slices, s);
    pair_weights(shape, shared.lse, lse_all, inverse_temperature, first_row, first, s);
    store_weights(s, shared.weights);
    accumulate_gradients(embeddings, shape.columns - first, shape.stride, first_depth, shared,
                         gradients);
  }
  const std::int64_t part = std::int64_t{shape.rows} * shape.stride;
  float* du = split == 0 ? parts.du : parts.others + (split - 1) * part;
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const int row = first_row + spread(tile_row(), i);
    if (row >= shape.rows) continue;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int depth = first_depth + spread(tile_column(), half * 4);
      if (depth >= shape.stride) continue;
      Pack<float> pack;
#pragma unroll
      for (int j = 0; j < 4; ++j) pack.values[j] = gradients[i][half * 4 + j];
      store_pack(du + std::int64_t{row} * shape.stride + depth, pack);
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

void similarity_gradient(const SimilarityShape& shape, const float* u, const float* u_all,
                         const float* lse, const float* lse_all, float inverse_temperature,
                         const GradientParts& parts, cudaStream_t stream) {
  launch(gradient_f32_kernel,
         {.grid = dim3(static_cast<unsigned>(ceil_div(shape.rows, kFloatTile)),
                       static_cast<unsigned>(ceil_div(shape.stride, kFloatTile)),
                       static_cast<unsigned>(shape.splits)),
          .block = dim3(kFloatThreads),
          .shared_bytes = sizeof(GradientShared)},
         stream, shape, u, u_all, lse, lse_all, inverse_temperature, parts);
}

}  // namespace simclr::cuda
