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
__device__ __forceinline__ bool is_closed(const UpdateBuffers& buffers) {
  return buffers.verdict != nullptr && (buffers.verdict[0] != 0 || buffers.verdict[1] != 0);
}
__device__ __forceinline__ float gradient_factor(const UpdateBuffers& buffers) {
  return 1.0F / buffers.control[3];
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

template <class Rule>
__device__ __forceinline__ float decay_of(const Rule& rule, const UpdateChunk& chunk) {
  return chunk.regularized != 0 ? rule.weight_decay : 0.0F;
}

struct Lars {
  LarsRule rule;
  float rate, decay;

  /// Every warp adds the norms of the whole parameter, in one order: cheaper than a launch between.
  __device__ void start(const UpdateChunk& chunk, const UpdateBuffers& buffers) {
    const UpdateSegment segment = buffers.segments[chunk.segment];
    double of_w = 0;
    double of_g = 0;
    if (segment.regularized != 0) {
      for (int i = static_cast<int>(threadIdx.x) % kWarp; i < segment.chunks; i += kWarp) {
        const LarsNorms norms = buffers.norms[segment.first_chunk + i];
        of_w += norms.of_w;
        of_g += norms.of_g;
      }
    }
    of_w = warp_sum(of_w);
    of_g = warp_sum(of_g);
    const double trust = of_w > 0 && of_g > 0 ? rule.trust_coefficient * sqrt(of_w / of_g) : 1.0;
    rate = static_cast<float>(buffers.control[0] * trust);
    decay = decay_of(rule, chunk);
  }
  __device__ void apply(float& w, float g, float& v) const {
    optimizer_math::lars(w, g, v, rate, rule.momentum, decay);
  }
};

struct Sgd {
  SgdRule rule;
  float rate, decay;

  __device__ void start(const UpdateChunk& chunk, const UpdateBuffers& buffers) {
    rate = buffers.control[0];
    decay = decay_of(rule, chunk);
  }
  __device__ void apply(float& w, float g, float& v) const {
    rule.nesterov ? optimizer_math::sgd<true>(w, g, v, rate, rule.momentum, decay)
                  : optimizer_math::sgd<false>(w, g, v, rate, rule.momentum, decay);
  }
};

struct Adamw {
  AdamwRule rule;
  float rate, decay, correction1, correction2;

  __device__ void start(const UpdateChunk& chunk, const UpdateBuffers& buffers) {
    rate = buffers.control[0];
    correction1 = buffers.control[1];
    correction2 = buffers.control[2];
    decay = decay_of(rule, chunk);
  }
  __device__ void apply(float& w, float g, float& m, float& v) const {
    optimizer_math::adamw(w, g, m, v, rate, rule.beta1, rule.beta2, rule.epsilon, decay,
                          correction1, correction2);
  }
};

Lars on_device(const LarsRule& rule) { return {.rule = rule}; }
Sgd on_device(const SgdRule& rule) { return {.rule = rule}; }
Adamw on_device(const AdamwRule& rule) { return {.rule = rule}; }

template <class Rule, class T>
__global__ void __launch_bounds__(kThreads)
    update_kernel(UpdateBuffers buffers, Rule rule, T* __restrict__ shadow) {
  constexpr bool kTwoMoments = std::is_same_v<Rule, Adamw>;
  if (is_closed(buffers)) return;
  const UpdateChunk chunk = buffers.chunks[blockIdx.x];
  const float factor = gradient_factor(buffers);
  rule.start(chunk, buffers);
  for (int first = static_cast<int>(threadIdx.x) * kFour; first < chunk.count;
       first += kThreads * kFour) {
    const Group group = group_of(chunk, first);
    Pack<float> w = load(buffers.parameters, group);
    const Pack<float> g = load(buffers.gradients, group);
    Pack<float> m = load(buffers.momentum, group);
    if constexpr (kTwoMoments) {
      Pack<float> v = load(buffers.second_moment, group);
#pragma unroll
      for (int i = 0; i < kFour; ++i) {
        rule.apply(w.values[i], factor * g.values[i], m.values[i], v.values[i]);
      }
      store(buffers.second_moment, group, v);
    } else {
#pragma unroll
      for (int i = 0; i < kFour; ++i) rule.apply(w.values[i], factor * g.values[i], m.values[i]);
    }
    store(buffers.parameters, group, w);
    store(buffers.momentum, group, m);
    if constexpr (!std::is_same_v<T, float>) store_rounded(shadow, group, w);
  }
}

// ---- LARS: norms of chunks ----------------------------------------------------------------------

__global__ void __launch_bounds__(kThreads)
    lars_norms_kernel(UpdateBuffers buffers, float weight_decay) {
  const UpdateChunk chunk = buffers.chunks[blockIdx.x];
  if (is_closed(buffers) || chunk.regularized == 0) return;
  const float factor = gradient_factor(buffers);
  double of_w = 0;
  double of_g = 0;
  for (int first = static_cast<int>(threadIdx.x) * kFour; first < chunk.count;
       first += kThreads * kFour) {
    const Group group = group_of(chunk, first);
    const Pack<float> w = load(buffers.parameters, group);
    const Pack<float> g = load(buffers.gradients, group);
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
  if (threadIdx.x == 0) buffers.norms[blockIdx.x] = {of_w, of_g};
}

}  // namespace

template <class Rule, class T>
void update(const Rule& rule, const UpdateBuffers& buffers, T* shadow, cudaStream_t stream) {
  if (buffers.chunk_count == 0) return;
  const LaunchShape one_block_a_chunk{.grid = dim3(static_cast<unsigned>(buffers.chunk_count)),
                                      .block = dim3(kThreads)};
  if constexpr (std::is_same_v<Rule, LarsRule>) {
    launch(lars_norms_kernel, one_block_a_chunk, stream, buffers, rule.weight_decay);
  }
  launch(update_kernel<decltype(on_device(rule)), T>, one_block_a_chunk, stream, buffers,
         on_device(rule), shadow);
}
template void update(const LarsRule&, const UpdateBuffers&, float*, cudaStream_t);
template void update(const LarsRule&, const UpdateBuffers&, bf16*, cudaStream_t);
template void update(const LarsRule&, const UpdateBuffers&, f16*, cudaStream_t);
template void update(const SgdRule&, const UpdateBuffers&, float*, cudaStream_t);
template void update(const SgdRule&, const UpdateBuffers&, bf16*, cudaStream_t);
template void update(const SgdRule&, const UpdateBuffers&, f16*, cudaStream_t);
template void update(const AdamwRule&, const UpdateBuffers&, float*, cudaStream_t);
template void update(const AdamwRule&, const UpdateBuffers&, bf16*, cudaStream_t);
template void update(const AdamwRule&, const UpdateBuffers&, f16*, cudaStream_t);

}  // namespace simclr::cuda
