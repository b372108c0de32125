// A block finds the best of a row: the k-th largest key by its digits, from counts of 11 bits at a
// time; then what lies above it, in column order; then a sort of these few. Counts are integers and
// candidates are all different (top_k_order.hpp), so that the result depends on no order of
// threads.

#include <limits>

#include "../../top_k_order.hpp"
#include "../launch.hpp"
#include "../steps.hpp"
#include "element.cuh"
#include "reduce.cuh"

namespace simclr::cuda {

namespace {

struct TopKArguments {
  const float* values = nullptr;        ///< (rows, width) in rows of `stride`, a multiple of 4
  const std::int32_t* valid = nullptr;  ///< how many columns count
  std::int64_t rows = 0, stride = 0;
  int width = 0;
  float* best = nullptr;            ///< (rows, k) in rows of `best_stride`, padded by zeros
  std::int32_t* columns = nullptr;  ///< (rows, k)
  int k = 0;                        ///< at most TopK::kMost, for which shared memory has room
  int best_stride = 0;
};

constexpr int kThreads = 512;
constexpr int kWarps = kThreads / kWarp;
constexpr int kDigitBits = 11;
constexpr int kDigits = 1 << kDigitBits;
constexpr std::uint32_t kDigitMask = kDigits - 1;
/// The last digit reaches into the one before it: its highest bit is known then, the same in all.
constexpr int kKeyBits = 32;
constexpr int kPasses = ceil_div(kKeyBits, kDigitBits);
constexpr int kDigitsPerThread = kDigits / kThreads;
constexpr int kFour = kPackSize<float>;

/// The keys to take: all above `key`, and the first `equal` of those that are it.
struct Threshold {
  std::uint32_t key;
  int equal;
};

/// The sum over the threads before this one. All threads call it.
__device__ __forceinline__ int sum_before(int value) {
  __shared__ int of_warp[kWarps];
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  int sum = value;
#pragma unroll
  for (int distance = 1; distance < kWarp; distance *= 2) {
    const int other = __shfl_up_sync(kAllLanes, sum, distance);
    if (lane >= distance) sum += other;
  }
  if (lane == kWarp - 1) of_warp[warp] = sum;
  __syncthreads();
  int before = sum - value;
  for (int w = 0; w < warp; ++w) before += of_warp[w];
  __syncthreads();
  return before;
}

/// Adds one to the count of its digit for every key that has the digits known so far.
__device__ __forceinline__ void count_digits(const float* row, int count, std::uint32_t prefix,
                                             std::uint32_t known, int shift, int* counts) {
  for (int first = static_cast<int>(threadIdx.x) * kFour; first < count;
       first += kThreads * kFour) {
    const Pack<float> pack = load_pack(row + first);
#pragma unroll
    for (int i = 0; i < kFour; ++i) {
      const std::uint32_t key = top_k_order::key_of(pack.values[i]);
      if (first + i < count && ((key ^ prefix) & known) == 0) {
        atomicAdd(&counts[key >> shift & kDigitMask], 1);
      }
    }
  }
}

/// The k-th largest of more than k keys.
__device__ Threshold find_threshold(const float* row, int count, int k) {
  __shared__ int counts[kDigits];
  __shared__ int found_digit;
  __shared__ int found_rank;
  Threshold threshold{.key = 0, .equal = k};
  std::uint32_t known = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    const int shift = max(kKeyBits - (pass + 1) * kDigitBits, 0);
    for (int i = static_cast<int>(threadIdx.x); i < kDigits; i += kThreads) counts[i] = 0;
    __syncthreads();
    count_digits(row, count, threshold.key, known, shift, counts);
    __syncthreads();
    const int highest = kDigits - 1 - static_cast<int>(threadIdx.x) * kDigitsPerThread;
    int own = 0;
    for (int i = 0; i < kDigitsPerThread; ++i) own += counts[highest - i];
    int above = sum_before(own);
    if (above < threshold.equal && threshold.equal <= above + own) {  // in one thread
      int digit = highest;
      while (above + counts[digit] < threshold.equal) above += counts[digit--];
      found_digit = digit;
      found_rank = threshold.equal - above;
    }
    __syncthreads();
    threshold.key =
        (threshold.key & ~(kDigitMask << shift)) | static_cast<std::uint32_t>(found_digit) << shift;
    threshold.equal = found_rank;
    known |= kDigitMask << shift;
  }
  return threshold;
}

/// Which lanes' keys are above the threshold and which are it; others do not count.
struct Votes {
  unsigned above, equal;
};
__device__ __forceinline__ Votes vote(std::uint32_t key, bool counts, std::uint32_t threshold) {
  return {.above = __ballot_sync(kAllLanes, counts && key > threshold ? 1 : 0),
          .equal = __ballot_sync(kAllLanes, counts && key == threshold ? 1 : 0)};
}

/// Writes the candidates to take, each warp those of a stretch of columns. `above` is how many have
/// keys above the threshold.
__device__ void gather_candidates(const float* row, int count, Threshold threshold, int above,
                                  std::uint64_t* candidates) {
  __shared__ int above_in[kWarps];
  __shared__ int equal_in[kWarps];
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int stretch = ceil_div(count, kThreads) * kWarp;
  const int begin = min(warp * stretch, count);
  const int end = min(begin + stretch, count);
  int above_found = 0;
  int equal_found = 0;
  const auto for_each_vote = [&](auto&& visit) {
    for (int first = begin; first < end; first += kWarp) {
      const int column = first + lane;
      const std::uint32_t key = column < end ? top_k_order::key_of(row[column]) : 0;
      visit(column, key, vote(key, column < end, threshold.key));
    }
  };
  for_each_vote([&](int /*column*/, std::uint32_t /*key*/, const Votes& votes) {
    above_found += __popc(votes.above);
    equal_found += __popc(votes.equal);
  });
  if (lane == 0) {
    above_in[warp] = above_found;
    equal_in[warp] = equal_found;
  }
  __syncthreads();
  int above_before = 0;
  int equal_before = 0;
  for (int w = 0; w < warp; ++w) {
    above_before += above_in[w];
    equal_before += equal_in[w];
  }
  const unsigned lanes_before = (1U << lane) - 1;
  for_each_vote([&](int column, std::uint32_t key, const Votes& votes) {
    if ((votes.above >> lane & 1U) != 0) {
      candidates[above_before + __popc(votes.above & lanes_before)] =
          top_k_order::candidate_of(key, column);
    } else if ((votes.equal >> lane & 1U) != 0) {
      const int rank = equal_before + __popc(votes.equal & lanes_before);
      if (rank < threshold.equal) {
        candidates[above + rank] = top_k_order::candidate_of(key, column);
      }
    }
    above_before += __popc(votes.above);
    equal_before += __popc(votes.equal);
  });
  __syncthreads();
}

/// Bitonic (Batcher 1968), largest first; `count` is a power of two.
__device__ void sort_candidates(std::uint64_t* candidates, int count) {
  for (int size = 2; size <= count; size *= 2) {
    for (int distance = size / 2; distance > 0; distance /= 2) {
      for (int i = static_cast<int>(threadIdx.x); i < count / 2; i += kThreads) {
        const int low = 2 * i - (i & (distance - 1));
        const std::uint64_t a = candidates[low];
        const std::uint64_t b = candidates[low + distance];
        if ((a < b) == ((low & size) == 0)) {
          candidates[low] = b;
          candidates[low + distance] = a;
        }
      }
      __syncthreads();
    }
  }
}

__global__ void __launch_bounds__(kThreads) top_k_kernel(TopKArguments o) {
  __shared__ std::uint64_t candidates[TopK::kMost];
  const std::int64_t row_index = blockIdx.x;
  const float* row = o.values + row_index * o.stride;
  const int count = min(max(*o.valid, 0), o.width);
  int sorted = 1;
  while (sorted < o.k) sorted *= 2;
  for (int i = static_cast<int>(threadIdx.x); i < sorted; i += kThreads) candidates[i] = 0;
  __syncthreads();
  const Threshold threshold =
      count > o.k ? find_threshold(row, count, o.k) : Threshold{.key = 0, .equal = 0};
  gather_candidates(row, count, threshold, o.k - threshold.equal, candidates);
  sort_candidates(candidates, sorted);
  for (int j = static_cast<int>(threadIdx.x); j < o.best_stride; j += kThreads) {
    float best = 0;
    if (j < o.k) {
      const std::uint64_t candidate = candidates[j];
      const int column = candidate != 0 ? top_k_order::column_of(candidate) : -1;
      best = column >= 0 ? row[column] : __uint_as_float(0xFF800000U);
      o.columns[row_index * o.k + j] = column;
    }
    o.best[row_index * o.best_stride + j] = best;
  }
}

}  // namespace

Prepared prepare(const TopK& op, const Context& context) {
  const TensorView values = context.tensor(op.values);
  const TensorView best = context.tensor(op.best);
  const TensorView columns = context.tensor(op.columns);
  const std::int64_t k = best.layout.channels;
  if (k > TopK::kMost) {
    refuse("{} nearest neighbors in a block are asked for: the CUDA backend finds {} at most", k,
           TopK::kMost);
  }
  require(values.layout.stride % kChannelMultiple == 0, "rows to select from are padded");
  require(values.layout.channels <= std::numeric_limits<std::int32_t>::max() - kChannelMultiple,
          "columns are counted in 32 bits");
  require(!columns.layout.padded(), "columns are stored packed");
  const TopKArguments arguments{.values = values.as<float>(),
                                .valid = context.tensor(op.valid).as<std::int32_t>(),
                                .rows = values.layout.rows(),
                                .stride = values.layout.stride,
                                .width = static_cast<int>(values.layout.channels),
                                .best = best.as<float>(),
                                .columns = columns.as<std::int32_t>(),
                                .k = static_cast<int>(k),
                                .best_stride = static_cast<int>(best.layout.stride)};
  return make_step([=, stream = context.stream()] {
    if (arguments.rows == 0) return;
    launch(top_k_kernel,
           {.grid = dim3(static_cast<unsigned>(arguments.rows)), .block = dim3(kThreads)}, stream,
           arguments);
  });
}

}  // namespace simclr::cuda
