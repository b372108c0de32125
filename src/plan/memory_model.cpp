#include <algorithm>

#include "plan_parts.hpp"
#include "simclr/backend/executor.hpp"
#include "simclr/backend/registry.hpp"
#include "simclr/core/check.hpp"
#include "simclr/program/planner.hpp"
#include "simclr/train/training_state.hpp"
#include "step_model.hpp"

namespace simclr::plan {
namespace {

// Resident memory of a rank that is ready to train, beyond that of `plan` at its start. Measured
// with Open MPI 4.1, HDF5 1.10 and oneDNN 2.6.
constexpr double kProcessBytes = 27e6;
constexpr double kMpiBytes = 20e6;  // more with several ranks
constexpr double kLoaderBuffers = 2;
// Allowances for a GPU: the scratch memory of convolutions is known only on the device.
constexpr double kDeviceWorkspaceBytes = 1e9;
constexpr double kDeviceLibrariesBytes = 1.5e9;
constexpr double kHostBytesBesideDevice = 1.5e9;
// Overhead of a checkpoint: of the file, and of each tensor.
constexpr double kFileBytes = 11700;
constexpr double kTensorBytes = 490;
// Two buffers of --cache none for batches fetched together.
constexpr double kStreamedBytes = 2 * 256e6;

double process_bytes(const MemoryContext& context) {
  return context.program_bytes + kProcessBytes + (context.placement.ranks > 1 ? kMpiBytes : 0);
}

void add_report(MemoryPlan& memory, const Program& program, const MemoryReport& report) {
  memory.arena = static_cast<double>(report.arena_bytes);
  memory.parameters = static_cast<double>(report.parameter_bytes);
  memory.inputs = static_cast<double>(report.input_bytes);
  memory.saved_per_view = static_cast<double>(report.saved_activation_bytes) /
                          static_cast<double>(program.info(program.at("views")).shape[0]);
}

/// Scratch memory of all ops, as this processor's oneDNN needs it. Without bf16 it has no plans for
/// a processor that has it; those for fp32 stand in for them.
void ask_for_workspace(MemoryPlan& memory, const Program& program, const MemoryContext& context,
                       Backend& backend) {
  const DeviceOptions& device = context.config.device;
  const bool elsewhere = device.precision == Precision::bf16 && !device.allow_slow_bf16;
  if (!elsewhere || cpu_has_native_bf16()) {
    memory.workspace = static_cast<double>(workspace_bytes(program, backend));
    return;
  }
  AnyTraining f32 = context.config;
  f32->device.precision = Precision::fp32;
  memory.workspace =
      static_cast<double>(workspace_bytes(f32->task(0, context.placement.ranks).program, backend));
  memory.workspace_is_allowance = true;
}

void plan_cpu(MemoryPlan& memory, const Program& program, const MemoryContext& context,
              Workspace workspace) {
  const auto backend = make_cpu_backend(context.threads);
  const auto bytes = [&](const TensorInfo& info) { return backend->storage_bytes(info); };
  add_report(memory, program, report_memory(program, plan_arena(program, bytes), 0));
  if (workspace == Workspace::ask) ask_for_workspace(memory, program, context, *backend);
  memory.loader = kLoaderBuffers * memory.inputs;
  memory.process = process_bytes(context);
}

void plan_cuda(MemoryPlan& memory, const Program& program, const MemoryContext& context) {
  add_report(memory, program, report_memory(program, plan_arena(program, cuda_storage_bytes), 0));
  memory.workspace = kDeviceWorkspaceBytes;
  memory.workspace_is_allowance = true;
  memory.device_libraries = kDeviceLibrariesBytes;
  if (context.config.device.precision != Precision::fp32) {
    memory.weight_copies = 2.0 * static_cast<double>(program.parameter_elements);
  }
  memory.loader = kLoaderBuffers * memory.inputs;
  memory.inputs *= 2;  // the next step's inputs are copied during the step
  memory.process = process_bytes(context) + kHostBytesBesideDevice;
}

}  // namespace

MemoryContext memory_context(const RunPlan& run, const EncoderTraining& config,
                             const Placement& placement) {
  return {.config = config,
          .data = run.data,
          .placement = placement,
          .kind = run.machine.kind,
          .threads = run.cores.compute,
          .node_memory_bytes = kGiga * run.machine.node_memory_gb,
          .program_bytes = run.program_bytes};
}

MemoryPlan plan_memory(const Program& program, const MemoryContext& context, Workspace workspace) {
  MemoryPlan memory;
  if (context.kind == DeviceKind::cpu) {
    plan_cpu(memory, program, context, workspace);
  } else {
    plan_cuda(memory, program, context);
  }
  if (context.config.cache == CacheMode::none) {
    memory.loader += std::min(kStreamedBytes, 2 * context.data.bytes);
  }
  memory.checkpoint = static_cast<double>(checkpoint_writing_bytes(program));
  const auto backend = make_cpu_backend(context.threads);
  const bool on_cpu = context.kind == DeviceKind::cpu;
  const MeasuringMemory measuring = context.config.measuring_memory(
      context.data.samples, context.placement.ranks, [&](const TensorInfo& info) {
        return on_cpu ? backend->storage_bytes(info) : cuda_storage_bytes(info);
      });
  memory.measuring = measuring.host;
  memory.measuring_programs = measuring.device;
  memory.cache_per_node = cache_bytes_per_node(context);
  return memory;
}

double checkpoint_bytes(const Program& program) {
  double values = 0;
  double tensors = 0;
  for (const FlatBuffer& flat : kFlatBuffers) {
    if (!flat.is_state || !program.holds(flat.storage)) continue;
    values += static_cast<double>(program.flat_elements(flat.storage));
    tensors += static_cast<double>(flat.storage == Storage::running ? program.running.size()
                                                                    : program.parameters.size());
  }
  return kFileBytes + kTensorBytes * tensors + sizeof(float) * values;
}

double cache_bytes_per_node(const MemoryContext& context) {
  const double all = context.data.bytes;
  const double spread = all * std::min(1.0, static_cast<double>(context.placement.ranks_per_node) /
                                                context.placement.ranks);
  switch (context.config.cache) {
    case CacheMode::none:
      return 0;
    case CacheMode::distributed:
      return spread;
    case CacheMode::automatic:
      if (context.node_memory_bytes > 0 && all > kCacheShare * context.node_memory_bytes) {
        return spread;
      }
      return all;
    case CacheMode::node:
      return all;
  }
  fail("internal error: unknown CacheMode value");
}

}  // namespace simclr::plan
