#pragma once

#include "simclr/plan/plan.hpp"
#include "simclr/program/program.hpp"

namespace simclr::plan {

/// The run whose memory is predicted.
struct MemoryContext {
  const PretrainConfig& config;
  const DataSummary& data;
  Placement placement;
  DeviceKind kind = DeviceKind::cpu;
  int threads = 1;
  double node_memory_bytes = 0;  ///< 0: unknown
  double program_bytes = 0;      ///< resident memory of program and libraries at their start
};

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

}  // namespace simclr::plan
