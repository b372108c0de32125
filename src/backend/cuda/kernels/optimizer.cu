// Parameter updates over the flat buffers. One block works on a chunk: a piece of one parameter.
// Masters, moments and the masters' 16-bit copy are written in one pass; see program/update.hpp for
// the formulas.

#include <algorithm>
#include <type_traits>
#include <vector>

#include "../../optimizer_math.hpp"
#include "../launch.hpp"
#include "../memory.hpp"
#include "../steps.hpp"
#include "element.cuh"
#include "reduce.cuh"
#include "simclr/program/update.hpp"

namespace simclr::cuda {

namespace {

/// Elements of a chunk at most. The partition, and with it the order in which norms are summed,
/// depends on shapes only.
constexpr std::int64_t kUpdateChunk = 4096;

/// Elements [begin, begin + count) of the flat buffers.
struct UpdateChunk {
  std::int64_t begin = 0;
  std::int32_t count = 0;
  std::int32_t segment = 0;
  std::int32_t regularized = 1;
};
/// Chunks [first_chunk, first_chunk + chunks) are one parameter.
struct UpdateSegment {
  std::int32_t first_chunk = 0;
  std::int32_t chunks = 0;
  std::int32_t regularized = 1;
};

/// Sums of squares over a chunk.
struct LarsNorms {
  double of_w = 0, of_g = 0;
};

/// What every rule works on; all in device memory.
struct UpdateBuffers {
  const UpdateChunk* chunks = nullptr;
  std::int64_t chunk_count = 0;
  const UpdateSegment* segments = nullptr;
  LarsNorms* norms = nullptr;  ///< (chunks), scratch of LARS
  float* parameters = nullptr;
  const float* gradients = nullptr;
  float* momentum = nullptr;
  float* second_moment = nullptr;  ///< AdamW only
  const float* control = nullptr;
  const std::int32_t* verdict = nullptr;  ///< or null
  const double* samples = nullptr;        ///< or null
};

constexpr int kThreads = 256;
/// Elements that a thread works on at once: 16 bytes of f32.
constexpr int kFour = kPackSize<float>;

/// The verdict forbids the update.
__device__ __forceinline__ bool is_closed(const UpdateBuffers& buffers) {
  return buffers.verdict != nullptr && (buffers.verdict[0] != 0 || buffers.verdict[1] != 0);
}
__device__ __forceinline__ float gradient_factor(const UpdateBuffers& buffers) {
  if (buffers.samples == nullptr) return 1.0F / buffers.control[3];
  const double samples = buffers.samples[3];
  return static_cast<float>(1.0 / (buffers.control[3] * (samples < 1 ? 1.0 : samples)));
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
/// Rounded to T, kFour elements at once.
template <class T>
__device__ __forceinline__ void store(T* to, const Group& group, const Pack<float>& pack) {
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
    if constexpr (!std::is_same_v<T, float>) store(shadow, group, w);
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

/// One launch, for LARS two: norms, then the update. `shadow` is the copy of the masters in T (bf16
/// or f16); T = float and null: there is none.
template <class Rule, class T>
void update(const Rule& rule, const UpdateBuffers& buffers, T* shadow, cudaStream_t stream) {
  if (buffers.chunk_count == 0) return;
  const LaunchShape one_block_a_chunk{.grid = dim3(static_cast<unsigned>(buffers.chunk_count)),
                                      .block = dim3(kThreads)};
  if constexpr (std::is_same_v<Rule, Lars>) {
    launch(lars_norms_kernel, one_block_a_chunk, stream, buffers, rule.rule.weight_decay);
  }
  launch(update_kernel<Rule, T>, one_block_a_chunk, stream, buffers, rule, shadow);
}

// ---- the step -----------------------------------------------------------------------------------

struct Partition {
  std::vector<UpdateChunk> chunks;
  std::vector<UpdateSegment> segments;
};

Partition split(const std::vector<ParameterSegment>& segments) {
  Partition all;
  for (const ParameterSegment& segment : segments) {
    const auto first = static_cast<std::int32_t>(all.chunks.size());
    const std::int32_t regularized = segment.regularized ? 1 : 0;
    const std::int64_t end = segment.offset + segment.count;
    for (std::int64_t begin = segment.offset; begin < end; begin += kUpdateChunk) {
      all.chunks.push_back({.begin = begin,
                            .count = static_cast<std::int32_t>(std::min(kUpdateChunk, end - begin)),
                            .segment = static_cast<std::int32_t>(all.segments.size()),
                            .regularized = regularized});
    }
    all.segments.push_back({.first_chunk = first,
                            .chunks = static_cast<std::int32_t>(all.chunks.size()) - first,
                            .regularized = regularized});
  }
  return all;
}

/// A table in device memory that lives as long as the step that copies the pointer.
template <class T>
std::shared_ptr<Buffer> to_device(const std::vector<T>& table, Device& device) {
  const cudaStream_t stream = device.stream(Lane::compute);
  const std::size_t bytes = table.size() * sizeof(T);
  auto memory = std::make_shared<Buffer>(allocate_device(bytes, "a table of its chunks"));
  check(cudaMemcpyAsync(memory->data(), table.data(), bytes, cudaMemcpyHostToDevice, stream),
        "copy a table to the device");
  device.wait(stream);
  return memory;
}

/// Calls f with the masters' 16-bit copy, or a null pointer to float. The copy is looked for when
/// the step runs: the convolution that has it made may be prepared after the update.
template <class F>
void with_shadow(const WeightShadows& shadows, const UpdateBuffers& buffers, F&& f) {
  const auto* shadow = shadows.find(reinterpret_cast<std::byte*>(buffers.parameters));
  if (shadow == nullptr) return f(static_cast<float*>(nullptr));
  with_half_type(shadow->dtype, [&]<class T>(T) { f(reinterpret_cast<T*>(shadow->copy.data())); });
}

}  // namespace

Prepared prepare(const Update& op, const Context& context) {
  require(context.info(op.parameters).offset == 0, "an update names whole flat buffers");
  const Partition partition = split(op.segments);
  const bool has_norms = std::holds_alternative<LarsRule>(op.rule);
  const std::size_t norm_bytes = has_norms ? partition.chunks.size() * sizeof(LarsNorms) : 0;
  if (!context.has_memory()) return {.workspace_bytes = norm_bytes};
  auto chunks = to_device(partition.chunks, context.device);
  auto segments = to_device(partition.segments, context.device);
  UpdateBuffers buffers{.chunks = reinterpret_cast<const UpdateChunk*>(chunks->data()),
                        .chunk_count = static_cast<std::int64_t>(partition.chunks.size()),
                        .segments = reinterpret_cast<const UpdateSegment*>(segments->data()),
                        .parameters = context.values<float>(op.parameters),
                        .gradients = context.values<float>(op.gradients),
                        .momentum = context.values<float>(op.momentum),
                        .second_moment = context.values<float>(op.second_moment),
                        .control = context.values<float>(op.control) + kControls * op.optimizer,
                        .verdict = context.values<std::int32_t>(op.verdict),
                        .samples = context.values<double>(op.samples)};
  return std::visit(
      [&](const auto& rule) {
        return make_step(norm_bytes, [=, tables = std::pair(std::move(chunks), std::move(segments)),
                                      shadows = &context.device.shadows(),
                                      stream = context.stream()](Workspace workspace) mutable {
          buffers.norms = reinterpret_cast<LarsNorms*>(workspace.data());
          with_shadow(*shadows, buffers,
                      [&](auto* shadow) { update(on_device(rule), buffers, shadow, stream); });
        });
      },
      op.rule);
}

}  // namespace simclr::cuda
