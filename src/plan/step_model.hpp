#pragma once
// The time of one training step, from its recorded ops:
//
//   ops run one after the other, each for op_seconds; collectives on the critical path (batch-norm
//   statistics, embeddings, loss sums) add theirs; gradient buckets queue on a lane of their own
//   from the op that completes them, and what is not done when the update waits for it is exposed.
//   Without a lane of their own (CPU: MPI moves only when it is called) they add theirs, too.
//
// On a CPU the loader's threads render the next views on the same cores: a step takes no less than
// the work of both spread over the cores, and no less than either takes on its own threads.

#include "collectives.hpp"
#include "simclr/augment/augmentation.hpp"
#include "simclr/program/op_cost.hpp"

namespace simclr::plan {

/// `rendering` is core seconds of all views of the rank.
StepTime predict_step(const Program& program, const Machine& machine, const Placement& placement,
                      const Cores& cores, double rendering);

/// Core seconds of rendering a view on the host, interpolated between the machine's rates.
double rendering_seconds_per_view(const AugmentationConfig& augmentation, const Machine& machine);

/// flops of convolutions and products, and bytes that ops read and write, of a step on one rank.
OpCost count_step(const Program& program);

}  // namespace simclr::plan
