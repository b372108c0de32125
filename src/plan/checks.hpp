#pragma once
// What `plan` refuses: a run that would fail, or be lost, in the queue.

#include "simclr/plan/plan.hpp"

namespace simclr::plan {

/// Options that do not go together, on any machine; ranks and groups; no checkpoints.
void validate_request(const PlanRequest& request);

/// A model that fits no device, or a node's ranks and cache that do not fit the node. Names what
/// would fit.
void require_memory(const RunPlan& run);

/// A time limit that ends the job before it has written its first checkpoint.
void require_checkpoint_in_time(const RunPlan& run, double limit_minutes);

}  // namespace simclr::plan
