// Parameter updates over the flat buffers and their 16-bit copies, and what forbids an update.

#include "kernels/optimizer.hpp"

#include <algorithm>
#include <vector>

#include "kernels/sums.hpp"
#include "memory.hpp"
#include "steps.hpp"

namespace simclr::cuda {

namespace {

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
  const auto shadow = shadows.find(reinterpret_cast<std::byte*>(buffers.parameters));
  if (shadow.data == nullptr) return f(static_cast<float*>(nullptr));
  if (shadow.dtype == DType::bf16) return f(reinterpret_cast<bf16*>(shadow.data));
  return f(reinterpret_cast<f16*>(shadow.data));
}

}  // namespace

Prepared prepare(const CheckFinite& op, const Context& context) {
  return make_step([sums = context.tensor(op.loss_sums).as<double>(),
                    sum_count = context.info(op.loss_sums).shape.elements(),
                    gradients = context.tensor(op.gradients).as<float>(),
                    count = context.info(op.gradients).shape.elements(),
                    verdict = context.tensor(op.verdict).as<std::int32_t>(),
                    stream = context.stream()] {
    check_finite(sums, sum_count, gradients, count, verdict, stream);
  });
}

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
                        .parameters = context.tensor(op.parameters).as<float>(),
                        .gradients = context.tensor(op.gradients).as<float>(),
                        .momentum = context.tensor(op.momentum).as<float>(),
                        .second_moment = context.values<float>(op.second_moment),
                        .control = context.tensor(op.control).as<float>(),
                        .verdict = context.values<std::int32_t>(op.verdict)};
  return std::visit(
      [&](const auto& rule) {
        return make_step(norm_bytes, [=, tables = std::pair(std::move(chunks), std::move(segments)),
                                      shadows = &context.device.shadows(),
                                      stream = context.stream()](Workspace workspace) mutable {
          buffers.norms = reinterpret_cast<LarsNorms*>(workspace.data());
          with_shadow(*shadows, buffers,
                      [&](auto* shadow) { update(rule, buffers, shadow, stream); });
        });
      },
      op.rule);
}

}  // namespace simclr::cuda
