// NT-Xent on tensor cores.
//
// The softmax in the manner of FlashAttention-2 (Dao 2023) with a fixed maximum: |s| <= 1, so
// exp(x - 1/T) neither overflows nor, for T >= 0.025, vanishes.
//
// The gradient: similarities, weights and the weights' product with the embeddings, tile by tile.
// With E_ij = exp(x_ij - 1/T) and f_i = exp(1/T - lse_i), P_ij + P_ji = E_ij (f_i + f_j): one
// exponential for both, as E is symmetric.

#include <cuda_runtime.h>

#include "../launch.hpp"
#include "contrastive.hpp"
#include "similarity_tile.cuh"

namespace simclr::cuda {

namespace {

constexpr float kLog2E = 1.44269504088896341F;
constexpr float kLn2 = 0.693147180559945309F;
constexpr int kSumChunk = 2;  // blocks of 8 columns whose sums are in registers at a time

/// What a thread has summed of its share of a row.
struct RowState {
  float rival = lowest_similarity();  // largest beside the partner's
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
  for (int chunk = 0; chunk < kTileColumns / 8; chunk += kSumChunk) {
    float s[kRowTiles<kDepth>][kSumChunk][4];
    similarities<T, kDepth, kSumChunk>(rows, tile, chunk * 8, s);
#pragma unroll
    for (int r = 0; r < kRowTiles<kDepth>; ++r) {
#pragma unroll
      for (int n = 0; n < kSumChunk; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          RowState& state = states[r][i / 2];
          const float similarity = s[r][n][i];
          const float exponent = fmaf(similarity, scale, -scale);
          const float exponential = exp2_fast(exponent);
          bool is_rival = true;
          if constexpr (kSpecial) {
            const int column = lane_column + (chunk + n) * 8 + i % 2;
            const int distance = column - lane_self - r * 16 - i / 2 * 8;
            if (distance == 0 || column >= shape.columns) continue;
            is_rival = !is_partner(shape, column, distance);
            if (!is_rival) state.partner = similarity;
          }
          if (is_rival) state.rival = fmaxf(state.rival, similarity);
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
    state.rival = fmaxf(state.rival, __shfl_xor_sync(kAllLanes, state.rival, distance));
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
        partials[std::int64_t{blockIdx.y} * shape.rows + row] = {.sum = state.sum,
                                                                 .weighted = state.weighted * kLn2,
                                                                 .partner = state.partner,
                                                                 .rival = state.rival};
      }
    }
  }
}

/// Calls f(T{}, Depth<packing.depth>{}).
template <class F>
void with_packing(const Packing& packing, F&& f) {
  with_half_type(packing.dtype, [&]<class T>(T type) {
    with_packed_depth(packing.depth, [&](auto depth) { f(type, depth); });
  });
}

/// Blocks own rows (x) and splits of the columns (y).
template <class T, int kDepth>
LaunchShape tile_launch(const SimilarityShape& shape) {
  return {.grid = dim3(static_cast<unsigned>(ceil_div(shape.rows, kBlockRows<kDepth>)),
                       static_cast<unsigned>(shape.splits)),
          .block = dim3(kTileThreads),
          .shared_bytes = TileStream<T, kDepth>::kBytes};
}

constexpr int kProductChunk = 2;  // blocks of 8 columns: one k step of the second product

template <int kDepth>
using RowFactors = float[kRowTiles<kDepth>][2];
/// du of the warp's rows.
template <int kDepth>
using RowGradients = float[kRowTiles<kDepth>][kDepth / 8][4];

/// What a row's own column and its partner's weigh, in the place of the pair's P_ij + P_ji.
__device__ __forceinline__ float special_weight(const SimilarityShape& shape, int column,
                                                int distance, float weight) {
  if (distance == 0) return 0;
  return is_partner(shape, column, distance) ? weight - 2 * kWeightScale : weight;
}

/// The weights of a chunk, in T, as A operands: a D fragment of 16 columns is one.
template <class T, int kDepth>
__device__ __forceinline__ void pair_weights(const SimilarityShape& shape,
                                             float (&s)[kRowTiles<kDepth>][kProductChunk][4],
                                             const RowFactors<kDepth>& own,
                                             const float2 (&others)[kProductChunk], float scale,
                                             bool is_special, int first_row, int first_column,
                                             std::uint32_t (&weights)[kRowTiles<kDepth>][4]) {
#pragma unroll
  for (int r = 0; r < kRowTiles<kDepth>; ++r) {
#pragma unroll
    for (int n = 0; n < kProductChunk; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float factor = own[r][i / 2] + (i % 2 == 0 ? others[n].x : others[n].y);
        s[r][n][i] = exp2_fast(fmaf(s[r][n][i], scale, -scale)) * factor;
      }
    }
  }
  if (is_special) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const int column = first_column + lane % 4 * 2;
    const int distance = column - self_of(shape, first_row) - lane / 4;
#pragma unroll
    for (int r = 0; r < kRowTiles<kDepth>; ++r) {
#pragma unroll
      for (int n = 0; n < kProductChunk; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int right = n * 8 + i % 2;
          const int down = r * 16 + i / 2 * 8;
          s[r][n][i] = special_weight(shape, column + right, distance + right - down, s[r][n][i]);
        }
      }
    }
  }
#pragma unroll
  for (int r = 0; r < kRowTiles<kDepth>; ++r) {
#pragma unroll
    for (int n = 0; n < kProductChunk; ++n) {
      weights[r][2 * n] = pack_pair<T>(s[r][n][0], s[r][n][1]);
      weights[r][2 * n + 1] = pack_pair<T>(s[r][n][2], s[r][n][3]);
    }
  }
}

/// The lane's addresses in a tile of B operands whose rows are the tile's columns: matrices are
/// columns 0-7 and 8-15 at depth 0-7, columns 0-7 and 8-15 at depth 8-15.
template <int kDepth>
__device__ __forceinline__ LaneAddresses<kDepth> depth_addresses(SharedAddress tile) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  return {tile, lane % 16, lane / 16};
}

/// gradients += weights * embeddings of 16 columns of the tile from `column` on.
template <class T, int kDepth>
__device__ __forceinline__ void accumulate_gradients(
    const std::uint32_t (&weights)[kRowTiles<kDepth>][4], const LaneAddresses<kDepth>& tile,
    int column, RowGradients<kDepth>& gradients) {
#pragma unroll
  for (int d = 0; d < kDepth / 8; d += 2) {
    std::uint32_t m[4];
    load_matrices_transposed(m, tile.at(column, d / 2));
    const std::uint32_t first[2] = {m[0], m[1]};
    const std::uint32_t second[2] = {m[2], m[3]};
#pragma unroll
    for (int r = 0; r < kRowTiles<kDepth>; ++r) {
      mma<T>(gradients[r][d], weights[r], first);
      mma<T>(gradients[r][d + 1], weights[r], second);
    }
  }
}

template <class T, int kDepth>
__device__ __forceinline__ void accumulate_tile(const SimilarityShape& shape,
                                                const RowFragments<kDepth>& rows,
                                                SharedAddress tile, const RowFactors<kDepth>& own,
                                                const float* factors, int first_row,
                                                int first_column, float scale,
                                                RowGradients<kDepth>& gradients) {
  const bool special = is_special(shape, first_row, kWarpRows<kDepth>, first_column, kTileColumns);
  const int member = static_cast<int>(threadIdx.x) % 4;
  const LaneAddresses<kDepth> columns = column_addresses<kDepth>(tile);
  const LaneAddresses<kDepth> depths = depth_addresses<kDepth>(tile);
#pragma unroll 1  // unrolled, the registers do not suffice
  for (int column = 0; column < kTileColumns; column += 8 * kProductChunk) {
    float2 others[kProductChunk];
#pragma unroll
    for (int n = 0; n < kProductChunk; ++n) {
      others[n] =
          *reinterpret_cast<const float2*>(factors + first_column + column + n * 8 + member * 2);
    }
    float s[kRowTiles<kDepth>][kProductChunk][4];
    similarities<T, kDepth, kProductChunk>(rows, columns, column, s);
    std::uint32_t weights[kRowTiles<kDepth>][4];
    pair_weights<T, kDepth>(shape, s, own, others, scale, special, first_row, first_column + column,
                            weights);
    accumulate_gradients<T, kDepth>(weights, depths, column, gradients);
  }
}

template <int kDepth>
__device__ __forceinline__ void store_gradients(const SimilarityShape& shape,
                                                const RowGradients<kDepth>& gradients,
                                                int first_row, float* du) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int r = 0; r < kRowTiles<kDepth>; ++r) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = first_row + r * 16 + half * 8 + lane / 4;
      if (row >= shape.rows) continue;
#pragma unroll
      for (int d = 0; d < kDepth / 8; ++d) {
        if (d * 8 >= shape.stride) continue;
        *reinterpret_cast<float2*>(du + std::int64_t{row} * shape.stride + d * 8 + lane % 4 * 2) =
            make_float2(gradients[r][d][half * 2], gradients[r][d][half * 2 + 1]);
      }
    }
  }
}

/// Block (x, y): rows from x * kBlockRows on, columns of split y.
template <class T, int kDepth>
__global__ void __launch_bounds__(kTileThreads, 2)
    gradient_kernel(SimilarityShape shape, const T* __restrict__ packed,
                    const float* __restrict__ factors, float scale, GradientParts parts) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int split = static_cast<int>(blockIdx.y);
  const int first_row =
      static_cast<int>(blockIdx.x) * kBlockRows<kDepth> + warp * kWarpRows<kDepth>;

  RowFragments<kDepth> rows;
  load_rows<kDepth>(packed, self_of(shape, first_row), rows);
  RowFactors<kDepth> own;
#pragma unroll
  for (int r = 0; r < kRowTiles<kDepth>; ++r) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      own[r][half] = factors[self_of(shape, first_row) + r * 16 + half * 8 + lane / 4];
    }
  }
  RowGradients<kDepth> gradients{};
  TileStream<T, kDepth> tiles(packed, columns_of_split(shape, split));
  while (tiles.next()) {
    if (first_row >= shape.rows) continue;
    accumulate_tile<T, kDepth>(shape, rows, tiles.tile(), own, factors, first_row, tiles.column(),
                               scale, gradients);
  }
  const std::int64_t part = std::int64_t{shape.rows} * shape.stride;
  store_gradients<kDepth>(shape, gradients, first_row,
                          split == 0 ? parts.du : parts.others + (split - 1) * part);
}

}  // namespace

int rows_per_block(int packed_depth) {
  int rows = 0;
  with_packed_depth(packed_depth, [&]<int kDepth>(Depth<kDepth>) { rows = kBlockRows<kDepth>; });
  return rows;
}

void similarity_softmax(const SimilarityShape& shape, const std::byte* packed,
                        const Packing& packing, float inverse_temperature, RowPartial* partials,
                        cudaStream_t stream) {
  with_packing(packing, [&]<class T, int kDepth>(T, Depth<kDepth>) {
    launch(softmax_kernel<T, kDepth>, tile_launch<T, kDepth>(shape), stream, shape,
           reinterpret_cast<const T*>(packed), kLog2E * inverse_temperature, partials);
  });
}

void similarity_gradient(const SimilarityShape& shape, const std::byte* packed,
                         const float* factors, const Packing& packing, float inverse_temperature,
                         const GradientParts& parts, cudaStream_t stream) {
  with_packing(packing, [&]<class T, int kDepth>(T, Depth<kDepth>) {
    launch(gradient_kernel<T, kDepth>, tile_launch<T, kDepth>(shape), stream, shape,
           reinterpret_cast<const T*>(packed), factors, kLog2E * inverse_temperature, parts);
  });
}

}  // namespace simclr::cuda
