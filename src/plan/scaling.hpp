#pragma once
// Predicts the run on 1, 2, 4, ... 1024 devices.

#include "simclr/plan/plan.hpp"

namespace simclr::plan {

enum class Scaling {
  strong,  ///< constant global batch
  weak,    ///< constant batch per device
};

/// `run` must have its machine, cores, data and placement.
std::vector<ScalingRow> scaling_table(const RunPlan& run, Scaling scaling);

/// Predicts a step of a configuration. Throws RefusedError when the ranks cannot share it.
StepTime predict_run(const PretrainConfig& config, const RunPlan& run, Placement placement);

/// Placement of a configuration's ranks.
Placement place(const PretrainConfig& config, int ranks, int ranks_per_node);

}  // namespace simclr::plan
