#pragma once
// Between the flat buffers of an executor and named tensors, as checkpoints hold them.

#include <string>
#include <vector>

#include "simclr/backend/executor.hpp"
#include "simclr/comm/communicator.hpp"
#include "simclr/io/checkpoint.hpp"

namespace simclr {

/// Every parameter, running statistic and optimizer tensor by name, in recording order.
Checkpoint collect_state(const Executor& executor);

/// Puts rank 0's checkpoint into every rank's flat buffers. RefusedError naming `origin` and the
/// tensor where the checkpoint and the program do not hold the same tensors. See Trainer::restore.
void restore_state(Executor& executor, const Checkpoint* checkpoint, const std::string& origin,
                   Communicator& comm);

/// Refuses a checkpoint that load_parts() would refuse.
void require_parts(const Program& program, const std::vector<Part>& parts,
                   const Checkpoint& checkpoint, const std::string& origin);

/// Puts parameters and running statistics of the `parts` of a model into the executor; the other
/// parts of its program keep their values, and the other tensors of the checkpoint are not read.
/// RefusedError naming `origin` and the first tensor that is missing or has another shape.
void load_parts(Executor& executor, const std::vector<Part>& parts, const Checkpoint& checkpoint,
                const std::string& origin);

}  // namespace simclr
