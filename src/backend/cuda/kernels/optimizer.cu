#include "optimizer.hpp"

#include <type_traits>

#include "../../optimizer_math.hpp"
#include "../launch.hpp"
#include "element.cuh"
#include "reduce.cuh"

namespace simclr::cuda {

namespace {

constexpr int kThreads = 256;
/// Elements that a thread works on at once: 16 bytes of f32.
constexpr int kFour = kPackSize<float>;

/// The verdict forbids the update.
__device__ __forceinline__ bool is_closed(const Update& update) {
  return update.verdict != nullptr && (update.verdict[0] != 0 || update.verdict[1] != 0);
}
__device__ __forceinline__ float gradient_factor(const Update& update) {
  return 1.0F / update.control[3];
}

/// 4 consecutive elements of a chunk, or the `count` that are left of it, the others 0. `whole`
/// where there are 4 and they stand at a multiple of 4 in the flat buffer.
struct Group {
  std::int64_t begin;
  int count;
  bool whole;
};
__device__ __forceinline__ Group group_of(const UpdateChunk& chunk, int first) {
  const int left = chunk.count - first;
  return {.begin = chunk.begin + first,
          .count = left < kFour ? left : kFour,
          .whole = left >= kFour && chunk.begin % kFour == 0};
}
__device__ __forceinline__ Pack<float> load(const float* from, const Group& group) {
  if (group.whole) return load_pack(from + group.begin);
  Pack<float> pack;
#pragma unroll
  for (int i = 0; i < kFour; ++i) {
    pack.values[i] = i < group.count ? from[group.begin + i] : 0.0F;
  }
  return pack;
}
__device__ __forceinline__ void store(float* to, const Group& group, const Pack<float>& pack) {
  if (group.whole) return store_pack(to + group.begin, pack);
#pragma unroll
  for (int i = 0; i < kFour; ++i) {
    if (i < group.count) to[group.begin + i] = pack.values[i];
  }
}
/// The same rounded to the shadow's type, 8 bytes at once.
template <class T>
__device__ __forceinline__ void store_rounded(T* to, const Group& group, const Pack<float>& pack) {
  struct alignas(kFour * sizeof(T)) Rounded {
    T values[kFour];
  } rounded;
#pragma unroll
  for (int i = 0; i < kFour; ++i) rounded.values[i] = narrow<T>(pack.values[i]);
  if (group.whole) {
    *reinterpret_cast<Rounded*>(to + group.begin) = rounded;
    return;
  }
#pragma unroll
  for (int i = 0; i < kFour; ++i) {
    if (i < group.count) to[group.begin + i] = rounded.values[i];
  }
}

// ---- the rules: factors of a chunk, and what is done to an element ------------------------------

struct LarsRule {
  LarsScratch scratch;
  LarsFactors factors;
  float rate, decay;

  /// Every warp adds the norms of the whole parameter, in one order: cheaper than a launch between.
  __device__ void start(const UpdateChunk& chunk, const float* control) {
    const UpdateSegment segment = scratch.segments[chunk.segment];
    double of_w = 0;
    double of_g = 0;
    if (segment.regularised != 0) {
      for (int i = static_cast<int>(threadIdx.x) % kWarp; i < segment.chunks; i += kWarp) {
        const LarsNorms norms = scratch.norms[segment.first_chunk + i];
        of_w += norms.of_w;
        of_g += norms.of_g;
      }
    }
    of_w = warp_sum(of_w);
    of_g = warp_sum(of_g);
    const double trust = of_w > 0 && of_g > 0 ? factors.trust_coefficient * sqrt(of_w / of_g) : 1.0;
    rate = static_cast<float>(control[0] * trust);
    decay = chunk.regularised != 0 ? factors.weight_decay : 0.0F;
  }
  __device__ void apply(float& w, float g, float& v) const {
    optimizer_math::lars(w, g, v, rate, factors.momentum, decay);
  }
};

struct SgdRule {
  SgdFactors factors;
  float rate, decay;

  __device__ void start(const UpdateChunk& chunk, const float* control) {
    rate = control[0];
    decay = chunk.regularised != 0 ? factors.weight_decay : 0.0F;
  }
  __device__ void apply(float& w, float g, float& v) const {
    factors.nesterov ? optimizer_math::sgd<true>(w, g, v, rate, factors.momentum, decay)
                     : optimizer_math::sgd<false>(w, g, v, rate, factors.momentum, decay);
  }
};

struct AdamwRule {
  AdamwFactors factors;
  float* second_moment;
  float rate, decay, correction1, correction2;

  __device__ void start(const UpdateChunk& chunk, const float* control) {
    rate = control[0];
    correction1 = control[1];
    correction2 = control[2];
    decay = chunk.regularised != 0 ? factors.weight_decay : 0.0F;
  }
  __device__ void apply(float& w, float g, float& m, float& v) const {
    optimizer_math::adamw(w, g, m, v, rate, factors.beta1, factors.beta2, factors.epsilon, decay,
                          correction1, correction2);
  }
};

template <class Rule, class T>
__global__ void __launch_bounds__(kThreads)
    update_kernel(Update update, Rule rule, T* __restrict__ shadow) {
  constexpr bool kTwoMoments = std::is_same_v<Rule, AdamwRule>;
  if (is_closed(update)) return;
  const UpdateChunk chunk = update.chunks[blockIdx.x];
  const float factor = gradient_factor(update);
  rule.start(chunk, update.control);
  for (int first = static_cast<int>(threadIdx.x) * kFour; first < chunk.count;
       first += kThreads * kFour) {
    const Group group = group_of(chunk, first);
    Pack<float> w = load(update.parameters, group);
    const Pack<float> g = load(update.gradients, group);
    Pack<float> m = load(update.momentum, group);
    if constexpr (kTwoMoments) {
      Pack<float> v = load(rule.second_moment, group);
#pragma unroll
      for (int i = 0; i < kFour; ++i) {
        rule.apply(w.values[i], factor * g.values[i], m.values[i], v.values[i]);
      }
      store(rule.second_moment, group, v);
    } else {
#pragma unroll
      for (int i = 0; i < kFour; ++i) rule.apply(w.values[i], factor * g.values[i], m.values[i]);
    }
    store(update.parameters, group, w);
    store(update.momentum, group, m);
    if constexpr (!std::is_same_v<T, float>) store_rounded(shadow, group, w);
  }
}

template <class Rule, class T>
void run_update(const Update& update, const Rule& rule, T* shadow, cudaStream_t stream) {
  if (update.chunk_count == 0) return;
  launch(update_kernel<Rule, T>,
         {.grid = dim3(static_cast<unsigned>(update.chunk_count)), .block = dim3(kThreads)}, stream,
         update, rule, shadow);
}

// ---- LARS: norms of chunks ----------------------------------------------------------------------

__global__ void __launch_bounds__(kThreads)
    lars_norms_kernel(Update update, float weight_decay, LarsNorms* __restrict__ norms) {
  const UpdateChunk chunk = update.chunks[blockIdx.x];
  if (is_closed(update) || chunk.regularised == 0) return;
  const float factor = gradient_factor(update);
  double of_w = 0;
  double of_g = 0;
  for (int first = static_cast<int>(threadIdx.x) * kFour; first < chunk.count;
       first += kThreads * kFour) {
    const Group group = group_of(chunk, first);
    const Pack<float> w = load(update.parameters, group);
    const Pack<float> g = load(update.gradients, group);
#pragma unroll
    for (int i = 0; i < kFour; ++i) {
      const double wi = w.values[i];
      const double gi = optimizer_math::decayed(w.values[i], factor * g.values[i], weight_decay);
      of_w += wi * wi;
      of_g += gi * gi;
    }
  }
  of_w = block_sum<kThreads>(of_w);
  of_g = block_sum<kThreads>(of_g);
  if (threadIdx.x == 0) norms[blockIdx.x] = {of_w, of_g};
}

}  // namespace

template <class T>
void lars_update(const Update& update, const LarsScratch& scratch, const LarsFactors& factors,
                 T* shadow, cudaStream_t stream) {
  if (update.chunk_count == 0) return;
  launch(lars_norms_kernel,
         {.grid = dim3(static_cast<unsigned>(update.chunk_count)), .block = dim3(kThreads)}, stream,
         update, factors.weight_decay, scratch.norms);
  run_update(update, LarsRule{.scratch = scratch, .factors = factors}, shadow, stream);
}
template void lars_update(const Update&, const LarsScratch&, const LarsFactors&, float*,
                          cudaStream_t);
template void lars_update(const Update&, const LarsScratch&, const LarsFactors&, bf16*,
                          cudaStream_t);
template void lars_update(const Update&, const LarsScratch&, const LarsFactors&, f16*,
                          cudaStream_t);

template <class T>
void sgd_update(const Update& update, const SgdFactors& factors, T* shadow, cudaStream_t stream) {
  run_update(update, SgdRule{.factors = factors}, shadow, stream);
}
template void sgd_update(const Update&, const SgdFactors&, float*, cudaStream_t);
template void sgd_update(const Update&, const SgdFactors&, bf16*, cudaStream_t);
template void sgd_update(const Update&, const SgdFactors&, f16*, cudaStream_t);

template <class T>
void adamw_update(const Update& update, const AdamwFactors& factors, float* second_moment,
                  T* shadow, cudaStream_t stream) {
  run_update(update, AdamwRule{.factors = factors, .second_moment = second_moment}, shadow, stream);
}
template void adamw_update(const Update&, const AdamwFactors&, float*, float*, cudaStream_t);
template void adamw_update(const Update&, const AdamwFactors&, float*, bf16*, cudaStream_t);
template void adamw_update(const Update&, const AdamwFactors&, float*, f16*, cudaStream_t);

}  // namespace simclr::cuda
