// Contrastive losses in f32, backward.

#include <cuda_runtime.h>

#include "../launch.hpp"
#include "float_tile.cuh"
#include "reduce.cuh"

namespace simclr::cuda {

namespace {

/// Weights of a tile, columns first: slices of 8 columns are operands of the second product.
struct GradientShared {
  FloatSlices slices;
  float weights[kFloatTile][kFloatPitch];
  // Each of these has an element for every row of the block.
  float statistic[kFloatTile], second[kFloatTile], partner_weights[kFloatTile];
  std::int32_t ids[kFloatTile];
};

/// What is known of a view.
struct ViewOfLoss {
  float statistic = 0, second = 0;
  std::int32_t id = 0;
};

// ---- G_ij + G_ji of a pair that counts, but for the slope, and of partners

/// nt-xent and dcl.
struct SoftmaxWeights {
  static constexpr bool kOfStatistic = true, kOfPositives = false, kOfPartner = false;
  static __device__ float of(float s, const ViewOfLoss& row, const ViewOfLoss& column,
                             const ContrastOperands& operands, float) {
    const float x = s * operands.inverse_temperature;
    return expf(x - row.statistic) + expf(x - column.statistic);
  }
  static __device__ float of_partner(const ContrastOperands& operands, float weight, float) {
    return operands.loss.kind == LossKind::dcl ? -2 : weight - 2;
  }
};

/// supcon; partners are positives as others.
struct PositiveWeights {
  static constexpr bool kOfStatistic = true, kOfPositives = true, kOfPartner = false;
  static __device__ float of(float s, const ViewOfLoss& row, const ViewOfLoss& column,
                             const ContrastOperands& operands, float) {
    const float weight = SoftmaxWeights::of(s, row, column, operands, 0);
    return row.id == column.id ? weight - (row.second + column.second) : weight;
  }
  static __device__ float of_partner(const ContrastOperands&, float weight, float) {
    return weight;
  }
};

/// Partners weigh what partner_weight() says.
struct OtherPartners {
  static constexpr bool kOfPositives = false, kOfPartner = true;
  static __device__ float of_partner(const ContrastOperands&, float, float partner_weight) {
    return partner_weight;
  }
};

struct LogisticWeights : OtherPartners {
  static constexpr bool kOfStatistic = false;
  static __device__ float of(float s, const ViewOfLoss&, const ViewOfLoss&,
                             const ContrastOperands& operands, float negative_weight) {
    return 2 * negative_weight / (1 + expf(-s * operands.inverse_temperature));
  }
};

struct MarginWeights : OtherPartners {
  static constexpr bool kOfStatistic = true;
  static __device__ float of(float s, const ViewOfLoss& row, const ViewOfLoss& column,
                             const ContrastOperands& operands, float negative_weight) {
    const float own = s > row.statistic - operands.loss.margin ? negative_weight : 0;
    const float other = s > column.statistic - operands.loss.margin ? negative_weight : 0;
    return own + other + (s - s);  // 0 for every number: NaN stays NaN
  }
};

template <class Weights>
__device__ __forceinline__ ViewOfLoss view_of_loss(const ContrastOperands& operands, int view) {
  ViewOfLoss of;
  if constexpr (Weights::kOfStatistic) of.statistic = operands.of.statistic[view];
  if constexpr (Weights::kOfPositives) {
    of.second = operands.of.second[view];
    of.id = operands.ids[view];
  }
  return of;
}

__device__ __forceinline__ int partner_of(const SimilarityShape& shape, int row) {
  return self_of(shape, (row + shape.rows / 2) % shape.rows);
}
__device__ __forceinline__ float weight_of_partner(const SimilarityShape& shape,
                                                   const ContrastOperands& operands, int row) {
  return static_cast<float>(partner_weight(operands.loss, shape.columns, operands.of,
                                           self_of(shape, row), partner_of(shape, row),
                                           double{operands.positives[row]}));
}

/// s becomes G_ij + G_ji but for the slope, 0 for j = i.
template <class Weights>
__device__ __forceinline__ void pair_weights(const SimilarityShape& shape,
                                             const ContrastOperands& operands,
                                             const GradientShared& shared, float negative_weight,
                                             int first_row, int first_column, FloatSums& s) {
  const int row = first_row + tile_row() * 4;
  const int column = first_column + tile_column() * 4;
  const int distance = column - self_of(shape, row);
  const bool one_side = !Weights::kOfPositives && operands.loss.negatives == Negatives::one;
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    const int right = spread(0, j);
    const bool is_column = column + right < shape.columns;
    const ViewOfLoss other =
        is_column ? view_of_loss<Weights>(operands, column + right) : ViewOfLoss{};
    const bool second = one_side && is_second(shape, column + right);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int down = spread(0, i);
      const int place = tile_row() * 4 + down;
      ViewOfLoss own;
      if constexpr (Weights::kOfStatistic) own.statistic = shared.statistic[place];
      if constexpr (Weights::kOfPositives) {
        own.second = shared.second[place];
        own.id = shared.ids[place];
      }
      float weight = Weights::of(s[i][j], own, other, operands, negative_weight);
      bool counts = is_column && distance + right != down;
      if (is_partner(shape, column + right, distance + right - down)) {
        weight = Weights::of_partner(operands, weight, shared.partner_weights[place]);
      } else if (one_side) {
        counts = counts && second != (row + down >= shape.rows / 2);
      }
      s[i][j] = counts ? weight : 0;
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
template <class Weights>
__global__ void __launch_bounds__(kFloatThreads)
    gradient_f32_kernel(SimilarityShape shape, const float* __restrict__ u,
                        const float* __restrict__ u_all, ContrastOperands operands,
                        float negative_weight, GradientParts parts) {
  auto& shared = *dynamic_shared<GradientShared>();
  const int first_row = static_cast<int>(blockIdx.x) * kFloatTile;
  const int first_depth = static_cast<int>(blockIdx.y) * kFloatTile;
  const int split = static_cast<int>(blockIdx.z);
  const float* rows = u + std::int64_t{first_row} * shape.stride;
  const ColumnRange columns = columns_of_split(shape, split);
  if (threadIdx.x < kFloatTile) {
    const int row = first_row + static_cast<int>(threadIdx.x);
    const bool is_row = row < shape.rows;
    const int view = self_of(shape, row);
    const ViewOfLoss of = is_row ? view_of_loss<Weights>(operands, view) : ViewOfLoss{};
    shared.statistic[threadIdx.x] = of.statistic;
    shared.second[threadIdx.x] = of.second;
    shared.ids[threadIdx.x] = of.id;
    if constexpr (Weights::kOfPartner) {
      shared.partner_weights[threadIdx.x] = is_row ? weight_of_partner(shape, operands, row) : 0;
    }
  }
  FloatSums gradients{};
  for (int first = columns.first; first < columns.last; first += kFloatTile) {
    const float* embeddings = u_all + std::int64_t{first} * shape.stride;
    FloatSums s;
    similarity_tile(rows, shape.rows - first_row, embeddings, shape.columns - first, shape.stride,
                    shared.slices, s);
    pair_weights<Weights>(shape, operands, shared, negative_weight, first_row, first, s);
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

constexpr int kGatherThreads = 256;
constexpr int kGatherDepth = kWarp * kPackSize<float>;

/// A warp a row (x) and kGatherDepth elements of it (y). The views whose negative the row is are
/// found by a look at all views, 32 at once: next to nothing beside the forward pass.
__global__ void __launch_bounds__(kGatherThreads)
    semi_hard_kernel(SimilarityShape shape, ContrastOperands operands, double factor,
                     const float* __restrict__ control, float* __restrict__ du) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int row = static_cast<int>((blockIdx.x * kGatherThreads + threadIdx.x) / kWarp);
  if (row >= shape.rows) return;
  const int depth = static_cast<int>(blockIdx.y) * kGatherDepth + lane * kPackSize<float>;
  const bool has_depth = depth < shape.stride;
  const int view = self_of(shape, row);
  const double scale = control != nullptr ? factor * double{control[3]} : factor;
  Pack<float> sum{};
  const auto add = [&](double weight, int of) {
    if (!has_depth) return;
    const auto by = static_cast<float>(scale * weight);
    const Pack<float> pack = load_pack(operands.u_all + std::int64_t{of} * shape.stride + depth);
#pragma unroll
    for (int i = 0; i < kPackSize<float>; ++i) {
      sum.values[i] = fmaf(by, pack.values[i], sum.values[i]);
    }
  };
  const float* chosen = operands.of.second;
  add(double{weight_of_partner(shape, operands, row)}, partner_of(shape, row));
  if (chosen[view] >= 0) {
    add(double{operands.of.statistic[view]}, static_cast<int>(chosen[view]));
  }
  for (int first = 0; first < shape.columns; first += kWarp) {
    const int other = first + lane;
    const bool chose = other < shape.columns && chosen[other] == static_cast<float>(view);
    for (unsigned by = __ballot_sync(kAllLanes, chose); by != 0; by &= by - 1) {
      const int found = first + __ffs(static_cast<int>(by)) - 1;
      add(double{operands.of.statistic[found]}, found);
    }
  }
  if (has_depth) store_pack(du + std::int64_t{row} * shape.stride + depth, sum);
}

template <class Weights>
void launch_gradient(const SimilarityShape& shape, const ContrastOperands& operands,
                     const GradientParts& parts, cudaStream_t stream) {
  launch(gradient_f32_kernel<Weights>,
         {.grid = dim3(static_cast<unsigned>(ceil_div(shape.rows, kFloatTile)),
                       static_cast<unsigned>(ceil_div(shape.stride, kFloatTile)),
                       static_cast<unsigned>(shape.splits)),
          .block = dim3(kFloatThreads),
          .shared_bytes = sizeof(GradientShared)},
         stream, shape, operands.u, operands.u_all, operands,
         static_cast<float>(operands.loss.negative_weight(shape.columns)), parts);
}

}  // namespace

void similarity_gradient(const SimilarityShape& shape, const ContrastOperands& operands,
                         const GradientParts& parts, cudaStream_t stream) {
  switch (operands.loss.kind) {
    case LossKind::nt_xent:
    case LossKind::dcl:
      return launch_gradient<SoftmaxWeights>(shape, operands, parts, stream);
    case LossKind::nt_logistic:
      return launch_gradient<LogisticWeights>(shape, operands, parts, stream);
    case LossKind::margin:
      return launch_gradient<MarginWeights>(shape, operands, parts, stream);
    case LossKind::supcon:
      return launch_gradient<PositiveWeights>(shape, operands, parts, stream);
  }
}

void semi_hard_gradient(const SimilarityShape& shape, const ContrastOperands& operands,
                        double factor, const float* control, float* du, cudaStream_t stream) {
  launch(semi_hard_kernel,
         {.grid = dim3(static_cast<unsigned>(ceil_div(shape.rows, kGatherThreads / kWarp)),
                       static_cast<unsigned>(ceil_div(shape.stride, kGatherDepth))),
          .block = dim3(kGatherThreads)},
         stream, shape, operands, factor, control, du);
}

}  // namespace simclr::cuda
