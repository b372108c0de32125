#pragma once
// Refuses runs that would fail, or lose their work, in the queue.

#include "simclr/plan/plan.hpp"

namespace simclr::plan {

/// Refuses contradicting options, a batch or group that does not divide, and a run without
/// checkpoints.
void validate_request(const PlanRequest& request);

/// Refuses a model that does not fit into a device, or ranks and a cache that do not fit into a
/// node. Names what would fit.
void require_memory(const RunPlan& run);

/// Refuses a time limit that ends the job before its first checkpoint.
void require_checkpoint_in_time(const RunPlan& run, double limit_minutes);

}  // namespace simclr::plan
