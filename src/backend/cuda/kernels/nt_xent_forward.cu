// The contrastive softmax on tensor cores, in the manner of FlashAttention-2 (Dao 2023) with a
// fixed maximum: |s| <= 1, so exp(x - 1/T) neither overflows nor, for T >= 0.025, vanishes.

#include <cuda_runtime.h>

#include "../launch.hpp"
#include "nt_xent.hpp"
#include "similarity_tile.cuh"

namespace simclr::cuda {

namespace {

constexpr float kLog2E = 1.44269504088896341F;
constexpr float kLn2 = 0.693147180559945309F;
constexpr int kChunk = 2;  // blocks of 8 columns whose sums are in registers at a time

/// Of the thread's share of a row.
struct RowState {
  float largest = lowest_similarity();
  float partner = lowest_similarity();
  float sum = 0;
  float weighted = 0;  // of exponents to base 2
};

/// Rows of a thread: two in each block of 16.
template <int kDepth>
using RowStates = RowState[kRowTiles<kDepth>][2];

/// With kSpecial some of the tile's columns are a row itself, its partner, or outside the matrix.
template <class T, bool kSpecial, int kDepth>
__device__ __forceinline__ void accumulate_tile(const SimilarityShape& shape,
                                                const RowFragments<kDepth>& rows,
                                                const LaneAddresses<kDepth>& tile, int first_row,
                                                int first_column, float scale,
                                                RowStates<kDepth>& states) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int lane_self = self_of(shape, first_row) + lane / 4;
  const int lane_column = first_column + lane % 4 * 2;
#pragma unroll 1
  for (int chunk = 0; chunk < kTileColumns / 8; chunk += kChunk) {
    float s[kRowTiles<kDepth>][kChunk][4];
    similarities<T, kDepth, kChunk>(rows, tile, chunk * 8, s);
#pragma unroll
    for (int r = 0; r < kRowTiles<kDepth>; ++r) {
#pragma unroll
      for (int n = 0; n < kChunk; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          RowState& state = states[r][i / 2];
          const float similarity = s[r][n][i];
          const float exponent = fmaf(similarity, scale, -scale);
          const float exponential = exp2_fast(exponent);
          if constexpr (kSpecial) {
            const int column = lane_column + (chunk + n) * 8 + i % 2;
            const int distance = column - lane_self - r * 16 - i / 2 * 8;
            if (is_partner(shape, column, distance)) state.partner = similarity;
            if (distance == 0 || column >= shape.columns) continue;
          }
          state.largest = fmaxf(state.largest, similarity);
          state.sum += exponential;
          state.weighted = fmaf(exponential, exponent, state.weighted);
        }
      }
    }
  }
}

/// The four lanes that share a row each have it whole.
__device__ __forceinline__ void merge_lanes(RowState& state) {
#pragma unroll
  for (int distance = 1; distance <= 2; distance *= 2) {
    state.largest = fmaxf(state.largest, __shfl_xor_sync(kAllLanes, state.largest, distance));
    state.partner = fmaxf(state.partner, __shfl_xor_sync(kAllLanes, state.partner, distance));
    state.sum += __shfl_xor_sync(kAllLanes, state.sum, distance);
    state.weighted += __shfl_xor_sync(kAllLanes, state.weighted, distance);
  }
}

/// Block (x, y): rows from x * kBlockRows on, columns of split y.
template <class T, int kDepth>
__global__ void __launch_bounds__(kTileThreads, 3)
    softmax_kernel(SimilarityShape shape, const T* __restrict__ packed, float scale,
                   RowPartial* __restrict__ partials) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int first_row =
      static_cast<int>(blockIdx.x) * kBlockRows<kDepth> + warp * kWarpRows<kDepth>;

  RowFragments<kDepth> rows;
  load_rows<kDepth>(packed, self_of(shape, first_row), rows);
  RowStates<kDepth> states;
  TileStream<T, kDepth> tiles(packed, columns_of_split(shape, static_cast<int>(blockIdx.y)));
  while (tiles.next()) {
    if (first_row >= shape.rows) continue;
    const auto addresses = column_addresses<kDepth>(tiles.tile());
    if (is_special(shape, first_row, kWarpRows<kDepth>, tiles.column(), kTileColumns)) {
      accumulate_tile<T, true, kDepth>(shape, rows, addresses, first_row, tiles.column(), scale,
                                       states);
    } else {
      accumulate_tile<T, false, kDepth>(shape, rows, addresses, first_row, tiles.column(), scale,
                                        states);
    }
  }
#pragma unroll
  for (int r = 0; r < kRowTiles<kDepth>; ++r) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      RowState& state = states[r][half];
      merge_lanes(state);
      const int row = first_row + r * 16 + half * 8 + lane / 4;
      if (lane % 4 == 0 && row < shape.rows) {
        partials[std::int64_t{blockIdx.y} * shape.rows + row] = {
            state.largest, state.sum, state.weighted * kLn2, state.partner};
      }
    }
  }
}

}  // namespace

int rows_per_block(int packed_depth) {
  int rows = 0;
  with_packed_depth(packed_depth, [&]<int kDepth>(Depth<kDepth>) { rows = kBlockRows<kDepth>; });
  return rows;
}

template <class T>
void similarity_softmax(const SimilarityShape& shape, const T* packed, int packed_depth,
                        float inverse_temperature, RowPartial* partials, cudaStream_t stream) {
  with_packed_depth(packed_depth, [&]<int kDepth>(Depth<kDepth>) {
    launch(softmax_kernel<T, kDepth>,
           {.grid = dim3(static_cast<unsigned>(ceil_div(shape.rows, kBlockRows<kDepth>)),
                         static_cast<unsigned>(shape.splits)),
            .block = dim3(kTileThreads),
            .shared_bytes = TileStream<T, kDepth>::kBytes},
           stream, shape, packed, kLog2E * inverse_temperature, partials);
  });
}
template void similarity_softmax<bf16>(const SimilarityShape&, const bf16*, int, float, RowPartial*,
                                       cudaStream_t);
template void similarity_softmax<f16>(const SimilarityShape&, const f16*, int, float, RowPartial*,
                                      cudaStream_t);

}  // namespace simclr::cuda
