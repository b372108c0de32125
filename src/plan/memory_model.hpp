#pragma once

#include "simclr/plan/plan.hpp"
#include "simclr/program/program.hpp"

namespace simclr::plan {

/// What is known of the backend that the program will run on, without the device.
struct MemoryContext {
  const PretrainConfig& config;
  const DataSummary& data;
  Placement placement;
  DeviceKind kind = DeviceKind::cpu;
  int threads = 1;
  double node_memory_bytes = 0;  ///< 0: not known
  double program_bytes = 0;      ///< resident of program and libraries at their start
};

/// Whether to ask oneDNN for scratch memory (exact, takes up to a second) or to take none.
enum class Workspace { ask, leave_out };

MemoryPlan plan_memory(const Program& program, const MemoryContext& context, Workspace workspace);

/// Of a checkpoint file: a tensor's values, and what HDF5 adds, measured on files.
double checkpoint_bytes(const Program& program);

/// The most of a node's memory that a cache takes, as data/memory_budget has it.
inline constexpr double kCacheShare = 0.9;

/// Of the data set that a node keeps: all of it, or what its ranks hold of a distributed one.
/// `auto` spreads what does not fit into a node, where its memory is known.
double cache_bytes_per_node(const MemoryContext& context);

}  // namespace simclr::plan
