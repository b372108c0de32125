// What stands around NT-Xent's tiles: 16-bit embeddings before them, sums over splits after them.

#include <cuda_runtime.h>

#include <cmath>

#include "../launch.hpp"
#include "element.cuh"
#include "nt_xent.hpp"
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

/// A row's softmax over all splits. With x = s/T, m the reference, S = sum exp(x - m) and W = sum
/// exp(x - m)*(x - m): lse = m + ln S, entropy = lse - sum p x = ln S - W/S.
struct RowSoftmax {
  double reference = 0, sum = 0, weighted = 0;
  float largest = lowest_similarity(), partner = lowest_similarity(), rival = lowest_similarity();
};
__device__ RowSoftmax merge_splits(const SimilarityShape& shape, const RowPartial* partials,
                                   int row, bool fixed_maximum, double inverse_temperature) {
  const auto partial_of = [&](int split) {
    return partials[std::int64_t{split} * shape.rows + row];
  };
  RowSoftmax whole;
  for (int split = 0; split < shape.splits; ++split) {
    whole.largest = fmaxf(whole.largest, partial_of(split).largest);
    whole.partner = fmaxf(whole.partner, partial_of(split).partner);
    whole.rival = fmaxf(whole.rival, partial_of(split).rival);
  }
  whole.reference = (fixed_maximum ? 1.0 : double{whole.largest}) * inverse_temperature;
  for (int split = 0; split < shape.splits; ++split) {
    const RowPartial partial = partial_of(split);
    if (partial.sum == 0) continue;
    const double shift =
        fixed_maximum ? 0 : (double{partial.largest} - double{whole.largest}) * inverse_temperature;
    const double factor = exp(shift);
    whole.sum += factor * partial.sum;
    whole.weighted += factor * (partial.weighted + shift * partial.sum);
  }
  return whole;
}

/// One thread a row; terms (blocks, 3).
__global__ void __launch_bounds__(kThreads)
    finish_kernel(SimilarityShape shape, const RowPartial* __restrict__ partials,
                  bool fixed_maximum, double inverse_temperature, float* __restrict__ lse,
                  double* __restrict__ terms) {
  const int row = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  double loss = 0;
  double hit = 0;
  double entropy = 0;
  if (row < shape.rows) {
    const RowSoftmax softmax =
        merge_splits(shape, partials, row, fixed_maximum, inverse_temperature);
    const double log_sum = log(softmax.sum);
    lse[row] = static_cast<float>(softmax.reference + log_sum);
    loss = log_sum - (double{softmax.partner} * inverse_temperature - softmax.reference);
    // A partner that ties with another view is not found: equal embeddings are no hits.
    hit = softmax.partner > softmax.rival ? 1 : 0;
    entropy = log_sum - softmax.weighted / softmax.sum;
  }
  loss = block_sum<kThreads>(loss);
  hit = block_sum<kThreads>(hit);
  entropy = block_sum<kThreads>(entropy);
  if (threadIdx.x == 0) {
    double* own = terms + std::int64_t{blockIdx.x} * 3;
    own[0] = loss;
    own[1] = hit;
    own[2] = entropy;
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

void finish_rows(const SimilarityShape& shape, const RowPartial* partials, bool fixed_maximum,
                 double inverse_temperature, float* lse, double* terms, cudaStream_t stream) {
  launch(finish_kernel, one_thread_each(shape.rows, kThreads), stream, shape, partials,
         fixed_maximum, inverse_temperature, lse, terms);
}

void sum_gradient_parts(const SimilarityShape& shape, const GradientParts& parts, double factor,
                        const float* control, cudaStream_t stream) {
  const std::int64_t packs = std::int64_t{shape.rows} * shape.stride / kPackSize<float>;
  launch(sum_parts_kernel, one_thread_each(packs, kThreads), stream, parts, shape.splits - 1,
         factor, control, packs);
}

}  // namespace simclr::cuda
