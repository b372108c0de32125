#pragma once
// Predicts the time of one training step from its recorded ops.
//
// Ops run one after the other, each for op_seconds. Collectives on the critical path (batch-norm
// statistics, embeddings, loss sums) add their time. Gradient buckets queue on a separate lane once
// they are complete; only the part that is unfinished when the update waits for it is exposed. On a
// CPU there is no such lane, since MPI moves data only when it is called, and the buckets add their
// time, too.
//
// On a CPU the loader's threads render the next views on the same cores. A step takes at least the
// work of both divided by the cores, and at least the time of either on its own threads.

#include "collectives.hpp"
#include "simclr/augment/augmentation.hpp"
#include "simclr/program/op_cost.hpp"

namespace simclr::plan {

/// `rendering`: core seconds for all views of the rank.
StepTime predict_step(const Program& program, const Machine& machine, const Placement& placement,
                      const Cores& cores, double rendering);

/// Core seconds of rendering a view on the host, interpolated between the machine's rates.
double rendering_seconds_per_view(const AugmentationConfig& augmentation, const Machine& machine);

/// Counts the flops of convolutions and matrix products and the bytes that ops read and write in a
/// step on one rank.
OpCost count_step(const Program& program);

}  // namespace simclr::plan
