#pragma once
// What make_plan() puts together: the memory of a run, its step on other numbers of devices, and
// checks that refuse runs that would fail, or lose their work, in the queue.

#include <string>
#include <vector>

#include "simclr/plan/plan.hpp"
#include "simclr/program/program.hpp"

namespace simclr::plan {

/// The run whose memory is predicted.
struct MemoryContext {
  const EncoderTraining& config;
  const DataSummary& data;
  Placement placement;
  DeviceKind kind = DeviceKind::cpu;
  int threads = 1;
  double node_memory_bytes = 0;  ///< 0: unknown
  double program_bytes = 0;      ///< resident memory of program and libraries at their start
};
/// The same run with another configuration and placement.
MemoryContext memory_context(const RunPlan& run, const EncoderTraining& config,
                             const Placement& placement);

/// `ask` asks oneDNN for the exact scratch memory, which takes up to a second; `leave_out` counts
/// none.
enum class Workspace { ask, leave_out };

MemoryPlan plan_memory(const Program& program, const MemoryContext& context, Workspace workspace);

/// Size of a checkpoint file: the values of its tensors, and HDF5's overhead measured on files.
double checkpoint_bytes(const Program& program);

/// The largest share of a node's memory that a cache may use; see fits() in data/memory_budget.hpp.
inline constexpr double kCacheShare = 0.9;

/// Bytes of the data set that a node keeps: all of it, or its ranks' parts when distributed. `auto`
/// distributes a set that does not fit into a node of known memory.
double cache_bytes_per_node(const MemoryContext& context);

/// What a run with this placement lacks the memory for, such as "the data set does not fit into a
/// node's memory"; empty if it fits, or as far as the machine's memory is unknown.
std::string shortage(const Machine& machine, const Placement& placement, const MemoryPlan& memory);

/// Refuses contradicting options, a batch or group that does not divide, and a run without
/// checkpoints.
void validate_request(const PlanRequest& request);

/// Refuses a model that does not fit into a device, or ranks and a cache that do not fit into a
/// node. Names what would fit.
void require_memory(const RunPlan& run);

/// Refuses a time limit that ends the job before its first checkpoint.
void require_checkpoint_in_time(const RunPlan& run, double limit_minutes);

// The run on 1, 2, 4, ... 1024 devices.

enum class Scaling {
  strong,  ///< constant global batch
  weak,    ///< constant batch per device
};

/// `run` must have its machine, cores, data and placement.
std::vector<ScalingRow> scaling_table(const RunPlan& run, Scaling scaling);

/// Predicts a step of a configuration's program.
StepTime predict(const Program& program, const EncoderTraining& config, const RunPlan& run,
                 const Placement& placement);
/// The longest time of a step, on a machine whose ops may be slower than predicted.
double slowest_step_seconds(const Program& program, const EncoderTraining& config,
                            const RunPlan& run, const Placement& placement);

/// Placement of a configuration's ranks.
Placement place(const EncoderTraining& config, int ranks, int ranks_per_node);

}  // namespace simclr::plan
