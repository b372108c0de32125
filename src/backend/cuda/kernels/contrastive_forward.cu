// Contrastive losses in f32, forward.

#include <cuda_runtime.h>

#include "../launch.hpp"
#include "float_tile.cuh"
#include "reduce.cuh"

namespace simclr::cuda {

namespace {

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

/// The same row's state in another lane.
__device__ __forceinline__ OnlineSoftmax of_lane(const OnlineSoftmax& softmax, int distance) {
  return {__shfl_xor_sync(kAllLanes, softmax.largest, distance),
          __shfl_xor_sync(kAllLanes, softmax.sum, distance),
          __shfl_xor_sync(kAllLanes, softmax.weighted, distance)};
}
__device__ __forceinline__ void join(OnlineSoftmax& softmax, OnlineSoftmax other,
                                     float inverse_temperature) {
  raise(softmax, other.largest, inverse_temperature);
  raise(other, softmax.largest, inverse_temperature);
  softmax.sum += other.sum;
  softmax.weighted += other.weighted;
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

// ---- what losses need of a row beside the softmax of all other columns. `counted` has a bit for
// each of a thread's 8 columns of a tile that counts: negatives, or for supcon all but the row.

/// A row, as far as the loss looks at it.
struct RowOfLoss {
  float inverse_temperature = 1;
  float positive = 0, margin = 0;
  std::int32_t id = 0;
};

struct Nothing {
  static constexpr bool kIsPlain = true;
};

/// dcl, and nt-xent with the negatives of one side.
struct NegativeSoftmax {
  static constexpr bool kIsPlain = false, kOfPartner = false, kOfLabels = false;
  OnlineSoftmax softmax;

  __device__ void add(const float (&s)[8], unsigned counted, const RowOfLoss& row, int,
                      const std::int32_t*) {
    float kept[8];
#pragma unroll
    for (int j = 0; j < 8; ++j) kept[j] = (counted >> j & 1U) != 0 ? s[j] : lowest_similarity();
    accumulate(softmax, kept, row.inverse_temperature);
  }
  [[nodiscard]] __device__ NegativeSoftmax in_lane(int distance) const {
    return {of_lane(softmax, distance)};
  }
  __device__ void add(const NegativeSoftmax& other, float inverse_temperature) {
    join(softmax, other.softmax, inverse_temperature);
  }
  __device__ void store(float (&more)[3]) const {
    more[0] = softmax.largest;
    more[1] = softmax.sum;
    more[2] = softmax.weighted;
  }
};

/// A sum over columns, and how many they were.
struct Tally {
  float sum = 0, count = 0;

  [[nodiscard]] __device__ Tally of_lane(int distance) const {
    return {__shfl_xor_sync(kAllLanes, sum, distance), __shfl_xor_sync(kAllLanes, count, distance)};
  }
  __device__ void join(const Tally& other) {
    sum += other.sum;
    count += other.count;
  }
};
/// Losses that sum up a function of each column.
template <class Function>
struct SumOver {
  static constexpr bool kIsPlain = false, kOfPartner = Function::kOfPartner,
                        kOfLabels = Function::kOfLabels;
  Tally tally;

  __device__ void add(const float (&s)[8], unsigned counted, const RowOfLoss& row, int,
                      const std::int32_t* ids) {
    Tally of_tile;
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      if ((counted >> j & 1U) == 0) continue;
      std::int32_t id = 0;
      if constexpr (kOfLabels) id = ids[spread(tile_column(), j)];
      of_tile.join(Function::of(s[j], row, id));
    }
    tally.join(of_tile);
  }
  [[nodiscard]] __device__ SumOver in_lane(int distance) const { return {tally.of_lane(distance)}; }
  __device__ void add(const SumOver& other, float) { tally.join(other.tally); }
  __device__ void store(float (&more)[3]) const {
    more[0] = tally.sum;
    more[1] = tally.count;
  }
};
struct Softplus {
  static constexpr bool kOfPartner = false, kOfLabels = false;
  static __device__ Tally of(float s, const RowOfLoss& row, std::int32_t) {
    const float x = s * row.inverse_temperature;
    return {fmaxf(x, 0) + log1pf(expf(-fabsf(x))), 1};
  }
};
struct BeyondMargin {
  static constexpr bool kOfPartner = true, kOfLabels = false;
  static __device__ Tally of(float s, const RowOfLoss& row, std::int32_t) {
    const float limit = row.positive - row.margin;
    return s > limit ? Tally{s - limit, 1} : Tally{};
  }
};
struct Positives {
  static constexpr bool kOfPartner = false, kOfLabels = true;
  static __device__ Tally of(float s, const RowOfLoss& row, std::int32_t id) {
    return id == row.id ? Tally{s, 1} : Tally{};
  }
};

/// Semi-hard forms: the largest similarity below the partner's and above a margin under it.
struct Nearest {
  static constexpr bool kIsPlain = false, kOfPartner = true, kOfLabels = false;
  float similarity = lowest_similarity();
  float column = -1;

  __device__ void add(const float (&s)[8], unsigned counted, const RowOfLoss& row, int first,
                      const std::int32_t*) {
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      const bool fits = s[j] < row.positive && s[j] > row.positive - row.margin;
      if ((counted >> j & 1U) == 0 || !fits || !(s[j] > similarity)) continue;
      similarity = s[j];
      column = static_cast<float>(first + spread(tile_column(), j));
    }
  }
  [[nodiscard]] __device__ Nearest in_lane(int distance) const {
    return {__shfl_xor_sync(kAllLanes, similarity, distance),
            __shfl_xor_sync(kAllLanes, column, distance)};
  }
  __device__ void add(const Nearest& other, float) {
    const bool is_first = other.similarity == similarity && other.column < column;
    if (other.similarity > similarity || is_first) *this = other;
  }
  __device__ void store(float (&more)[3]) const {
    more[0] = similarity;
    more[1] = column;
  }
};

/// Bits of the thread's columns of the tile from `first` on that count for a row.
template <bool kOfLabels>
__device__ __forceinline__ unsigned counted_columns(const SimilarityShape& shape,
                                                    const ContrastiveLoss& loss, int row, int first,
                                                    unsigned seconds) {
  unsigned counted = 0xFF;
  if (!kOfLabels && loss.negatives == Negatives::one) {
    counted = row >= shape.rows / 2 ? 0xFF & ~seconds : seconds;
  }
  const int self = self_of(shape, row);
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    const int column = first + spread(tile_column(), j);
    const bool is_pair = !kOfLabels && is_partner(shape, column, column - self);
    if (column == self || is_pair || column >= shape.columns) counted &= ~(1U << j);
  }
  return counted;
}

template <class Sums>
__device__ __forceinline__ RowOfLoss row_of_loss(const SimilarityShape& shape,
                                                 const ContrastOperands& operands, int row) {
  RowOfLoss of{.inverse_temperature = operands.inverse_temperature};
  const int existing = min(row, shape.rows - 1);
  if constexpr (Sums::kOfPartner) {
    of.positive = operands.positives[existing];
    of.margin =
        operands.loss.kind == LossKind::margin ? operands.loss.margin : -lowest_similarity();
  }
  if constexpr (Sums::kOfLabels) of.id = operands.ids[self_of(shape, existing)];
  return of;
}

/// Block (x, y): rows from x * kFloatTile on, columns of split y.
template <class Sums>
__global__ void __launch_bounds__(kFloatThreads)
    sums_f32_kernel(SimilarityShape shape, const float* __restrict__ u,
                    const float* __restrict__ u_all, ContrastOperands operands,
                    RowPartial* __restrict__ partials) {
  __shared__ FloatSlices slices;
  const float inverse_temperature = operands.inverse_temperature;
  const int first_row = static_cast<int>(blockIdx.x) * kFloatTile;
  const float* rows = u + std::int64_t{first_row} * shape.stride;
  const ColumnRange columns = columns_of_split(shape, static_cast<int>(blockIdx.y));
  OnlineSoftmax softmax[8];
  Sums sums[8];
  float partner[8];
  float rival[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) partner[i] = rival[i] = lowest_similarity();

  for (int first = columns.first; first < columns.last; first += kFloatTile) {
    FloatSums s;
    similarity_tile(rows, shape.rows - first_row, u_all + std::int64_t{first} * shape.stride,
                    shape.columns - first, shape.stride, slices, s);
    unsigned seconds = 0;
    if (!Sums::kIsPlain && operands.loss.negatives == Negatives::one) {
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        seconds |= is_second(shape, first + spread(tile_column(), j)) ? 1U << j : 0;
      }
    }
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int row = first_row + spread(tile_row(), i);
      const int self = self_of(shape, row);
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
      if constexpr (!Sums::kIsPlain) {
        const unsigned counted =
            counted_columns<Sums::kOfLabels>(shape, operands.loss, row, first, seconds);
        sums[i].add(s[i], counted, row_of_loss<Sums>(shape, operands, row), first,
                    Sums::kOfLabels ? operands.ids + first : nullptr);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < 8; ++i) {
#pragma unroll
    for (int distance = 1; distance < 16; distance *= 2) {
      join(softmax[i], of_lane(softmax[i], distance), inverse_temperature);
      partner[i] = fmaxf(partner[i], __shfl_xor_sync(kAllLanes, partner[i], distance));
      rival[i] = fmaxf(rival[i], __shfl_xor_sync(kAllLanes, rival[i], distance));
      if constexpr (!Sums::kIsPlain) sums[i].add(sums[i].in_lane(distance), inverse_temperature);
    }
    const int row = first_row + spread(tile_row(), i);
    if (tile_column() == 0 && row < shape.rows) {
      RowPartial partial{softmax[i].largest, softmax[i].sum, softmax[i].weighted, partner[i],
                         rival[i]};
      if constexpr (!Sums::kIsPlain) sums[i].store(partial.more);
      partials[std::int64_t{blockIdx.y} * shape.rows + row] = partial;
    }
  }
}

constexpr int kThreads = 256;

/// One thread a row.
__global__ void __launch_bounds__(kThreads)
    partners_kernel(SimilarityShape shape, const float* __restrict__ u,
                    float* __restrict__ positives) {
  const int row = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (row >= shape.rows) return;
  const float* own = u + std::int64_t{row} * shape.stride;
  const float* other = u + std::int64_t{(row + shape.rows / 2) % shape.rows} * shape.stride;
  float sum = 0;
  for (int d = 0; d < shape.stride; ++d) sum = fmaf(own[d], other[d], sum);
  positives[row] = sum;
}

/// One thread a view.
__global__ void __launch_bounds__(kThreads)
    ids_kernel(SimilarityShape shape, const std::int32_t* __restrict__ labels,
               std::int32_t* __restrict__ ids) {
  const int view = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (view >= shape.columns) return;
  ids[view] = positive_id(labels, view, shape.rows);
}

template <class Sums>
void launch_sums(const SimilarityShape& shape, const ContrastOperands& operands,
                 RowPartial* partials, cudaStream_t stream) {
  launch(sums_f32_kernel<Sums>,
         {.grid = dim3(static_cast<unsigned>(ceil_div(shape.rows, kFloatTile)),
                       static_cast<unsigned>(shape.splits)),
          .block = dim3(kFloatThreads)},
         stream, shape, operands.u, operands.u_all, operands, partials);
}

}  // namespace

void partner_similarities(const SimilarityShape& shape, const float* u, float* positives,
                          cudaStream_t stream) {
  launch(partners_kernel, one_thread_each(shape.rows, kThreads), stream, shape, u, positives);
}

void positive_ids(const SimilarityShape& shape, const std::int32_t* labels, std::int32_t* ids,
                  cudaStream_t stream) {
  launch(ids_kernel, one_thread_each(shape.columns, kThreads), stream, shape, labels, ids);
}

void similarity_sums(const SimilarityShape& shape, const ContrastOperands& operands,
                     RowPartial* partials, cudaStream_t stream) {
  const ContrastiveLoss& loss = operands.loss;
  if (loss.is_plain()) return launch_sums<Nothing>(shape, operands, partials, stream);
  if (loss.semi_hard) return launch_sums<Nearest>(shape, operands, partials, stream);
  switch (loss.kind) {
    case LossKind::nt_xent:
    case LossKind::dcl:
      return launch_sums<NegativeSoftmax>(shape, operands, partials, stream);
    case LossKind::nt_logistic:
      return launch_sums<SumOver<Softplus>>(shape, operands, partials, stream);
    case LossKind::margin:
      return launch_sums<SumOver<BeyondMargin>>(shape, operands, partials, stream);
    case LossKind::supcon:
      return launch_sums<SumOver<Positives>>(shape, operands, partials, stream);
  }
}

}  // namespace simclr::cuda
