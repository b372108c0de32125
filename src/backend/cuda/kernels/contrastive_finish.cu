// What stands around tiles of similarities: 16-bit embeddings before them, sums over splits after
// them.

#include <cuda_runtime.h>

#include "../launch.hpp"
#include "contrastive.hpp"
#include "element.cuh"
#include "reduce.cuh"
#include "similarity.cuh"

namespace simclr::cuda {

namespace {

constexpr int kThreads = 256;

/// One thread for 8 elements of `packed`.
template <class T>
__global__ void __launch_bounds__(kThreads)
    pack_kernel(SimilarityShape shape, const float* __restrict__ u_all, int packed_depth,
                T* __restrict__ packed, const float* __restrict__ lse_all,
                float inverse_temperature, float* __restrict__ factors, std::int64_t packs) {
  const std::int64_t index = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (index >= packs) return;
  const int packs_per_row = packed_depth / kPackSize<T>;
  const std::int64_t row = index / packs_per_row;
  const int depth = static_cast<int>(index % packs_per_row) * kPackSize<T>;
  const bool is_view = row < shape.columns;
  Pack<T> pack{};
  if (is_view && depth < shape.stride) {
    pack = load_narrowed<T>(u_all + row * shape.stride + depth);
  }
  store_pack(packed + index * kPackSize<T>, pack);
  if (lse_all != nullptr && depth == 0) {
    factors[row] = is_view ? kWeightScale * expf(inverse_temperature - lse_all[row]) : 0;
  }
}

/// A row's softmax over all splits: of all other columns, or of the negatives.
template <bool kOfNegatives>
__device__ SoftmaxRow merge_splits(const SimilarityShape& shape, const RowPartial* partials,
                                   bool fixed_maximum, double inverse_temperature) {
  SoftmaxRow whole{.partner = lowest_similarity(), .rival = lowest_similarity()};
  float largest = lowest_similarity();
  for (int split = 0; split < shape.splits; ++split) {
    const RowPartial& partial = partials[std::int64_t{split} * shape.rows];
    largest = fmaxf(largest, kOfNegatives ? partial.more[0] : partial.largest);
    whole.partner = fmaxf(whole.partner, partial.partner);
    whole.rival = fmaxf(whole.rival, partial.rival);
  }
  whole.largest = fixed_maximum ? 1.0 : double{largest};
  for (int split = 0; split < shape.splits; ++split) {
    const RowPartial& partial = partials[std::int64_t{split} * shape.rows];
    const float sum = kOfNegatives ? partial.more[1] : partial.sum;
    if (sum == 0) continue;
    const double own = kOfNegatives ? partial.more[0] : partial.largest;
    const double shift = fixed_maximum ? 0 : (own - whole.largest) * inverse_temperature;
    const double factor = exp(shift);
    whole.sum += factor * sum;
    whole.weighted += factor * ((kOfNegatives ? partial.more[2] : partial.weighted) + shift * sum);
  }
  return whole;
}

/// All that the splits have of a row; `partials` from the row's first on.
__device__ ContrastRow merge_row(const SimilarityShape& shape, const ContrastiveLoss& loss,
                                 const RowPartial* partials, bool fixed_maximum) {
  const double inverse_temperature = loss.inverse_temperature();
  ContrastRow row;
  row.all = merge_splits<false>(shape, partials, fixed_maximum, inverse_temperature);
  row.positive = row.all.partner;
  if (loss.is_plain()) return row;
  if (loss.kind == LossKind::nt_xent || loss.kind == LossKind::dcl) {
    row.negatives = merge_splits<true>(shape, partials, false, inverse_temperature);
    return row;
  }
  row.positives.count = 1;  // the row itself
  for (int split = 0; split < shape.splits; ++split) {
    const float(&more)[3] = partials[std::int64_t{split} * shape.rows].more;
    if (loss.semi_hard) {
      if (more[0] > row.nearest.similarity) {
        row.nearest = {.similarity = more[0], .column = static_cast<std::int64_t>(more[1])};
      }
    } else if (loss.kind == LossKind::supcon) {
      row.positives.sum += more[0];
      row.positives.count += static_cast<std::int64_t>(more[1]);
    } else {
      row.sums.sum += more[0];
      row.sums.count += static_cast<std::int64_t>(more[1]);
    }
  }
  return row;
}

/// One thread a row; terms (blocks, loss.sum_count()).
__global__ void __launch_bounds__(kThreads)
    finish_kernel(SimilarityShape shape, ContrastiveLoss loss,
                  const RowPartial* __restrict__ partials, bool fixed_maximum,
                  float* __restrict__ statistic, float* __restrict__ second,
                  double* __restrict__ terms) {
  const int row = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  ContrastTerms own;
  if (row < shape.rows) {
    ContrastRow merged = merge_row(shape, loss, partials + row, fixed_maximum);
    own = finish_row(loss, shape.columns, merged);
    if (statistic != nullptr) statistic[row] = own.statistic;
    if (second != nullptr) second[row] = own.second;
  }
  const double sums[] = {block_sum<kThreads>(own.loss), block_sum<kThreads>(own.hit),
                         block_sum<kThreads>(own.entropy), block_sum<kThreads>(own.found)};
  if (threadIdx.x != 0) return;
  const int count = loss.sum_count();
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (i < count) terms[std::int64_t{blockIdx.x} * count + i] = sums[i];
  }
}

/// One thread for 4 elements of du.
__global__ void __launch_bounds__(kThreads)
    sum_parts_kernel(GradientParts parts, int others, double factor,
                     const float* __restrict__ control, std::int64_t packs) {
  const std::int64_t index = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (index >= packs) return;
  const double loss_scale = control != nullptr ? double{control[3]} : 1.0;
  const auto scale = static_cast<float>(loss_scale * factor);
  Pack<float> sum = load_pack(parts.du + index * kPackSize<float>);
  for (int other = 0; other < others; ++other) {
    const Pack<float> part = load_pack(parts.others + (other * packs + index) * kPackSize<float>);
#pragma unroll
    for (int i = 0; i < kPackSize<float>; ++i) sum.values[i] += part.values[i];
  }
#pragma unroll
  for (int i = 0; i < kPackSize<float>; ++i) sum.values[i] *= scale;
  store_pack(parts.du + index * kPackSize<float>, sum);
}

}  // namespace

int packed_depth(std::int64_t depth) {
  for (const int packed : {64, 128, 256}) {
    if (depth <= packed) return packed;
  }
  return 0;
}

void pack_embeddings(const SimilarityShape& shape, const float* u_all, const Packing& packing,
                     std::byte* packed, const float* lse_all, float inverse_temperature,
                     float* factors, cudaStream_t stream) {
  with_half_type(packing.dtype, [&]<class T>(T) {
    const std::int64_t packs = packed_rows(shape) * packing.depth / kPackSize<T>;
    launch(pack_kernel<T>, one_thread_each(packs, kThreads), stream, shape, u_all, packing.depth,
           reinterpret_cast<T*>(packed), lse_all, inverse_temperature, factors, packs);
  });
}

int term_blocks(const SimilarityShape& shape) { return ceil_div(shape.rows, kThreads); }

void finish_rows(const SimilarityShape& shape, const ContrastiveLoss& loss,
                 const RowPartial* partials, bool fixed_maximum, float* statistic, float* second,
                 double* terms, cudaStream_t stream) {
  launch(finish_kernel, one_thread_each(shape.rows, kThreads), stream, shape, loss, partials,
         fixed_maximum, statistic, second, terms);
}

void sum_gradient_parts(const SimilarityShape& shape, const GradientParts& parts, double factor,
                        const float* control, cudaStream_t stream) {
  const std::int64_t packs = std::int64_t{shape.rows} * shape.stride / kPackSize<float>;
  launch(sum_parts_kernel, one_thread_each(packs, kThreads), stream, parts, shape.splits - 1,
         factor, control, packs);
}

}  // namespace simclr::cuda
