#pragma once
// The run on 1, 2, 4, ... 1024 devices, by the model of a step.

#include "simclr/plan/plan.hpp"

namespace simclr::plan {

enum class Scaling {
  strong,  ///< the global batch stays
  weak,    ///< the batch of a device stays
};

/// `run` has its machine, cores, data and placement.
std::vector<ScalingRow> scaling_table(const RunPlan& run, Scaling scaling);

/// The step of a configuration on so many ranks. Throws RefusedError where it cannot be spread.
StepTime predict_run(const PretrainConfig& config, const RunPlan& run, Placement placement);

/// Placement of a configuration's ranks.
Placement place(const PretrainConfig& config, int ranks, int ranks_per_node);

}  // namespace simclr::plan
