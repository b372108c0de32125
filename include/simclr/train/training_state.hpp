#pragma once
// Converts between the flat buffers of an executor and the named tensors of checkpoints.

#include <string>
#include <vector>

#include "simclr/backend/executor.hpp"
#include "simclr/comm/communicator.hpp"
#include "simclr/io/checkpoint.hpp"

namespace simclr {

/// Lists every parameter, running statistic and optimizer tensor, in recording order, without
/// values.
Checkpoint describe_state(const Executor& executor);
/// Reads the values of what describe_state() lists from the executor, which must outlive it.
TensorValues state_values(const Executor& executor);

/// Memory that writing a checkpoint of the program takes: its largest tensor, in bytes.
std::size_t checkpoint_writing_bytes(const Program& program);

/// Loads rank 0's checkpoint into every rank's flat buffers. Throws RefusedError, naming `origin`
/// and the tensor, if checkpoint and program do not hold the same tensors. See Trainer::restore.
void restore_state(Executor& executor, const Checkpoint* checkpoint, const std::string& origin,
                   Communicator& comm);

/// Loads rank 0's checkpoint into every rank's executor as load_parts() does; other ranks pass
/// null. Collective.
void distribute_parts(Executor& executor, const std::vector<Part>& parts,
                      const Checkpoint* checkpoint, const std::string& origin, Communicator& comm);

/// Makes the checks of load_parts() without loading.
void require_parts(const Program& program, const std::vector<Part>& parts,
                   const Checkpoint& checkpoint, const std::string& origin);

/// Loads parameters and running statistics of the `parts` of a model into the executor. Other parts
/// of its program keep their values, other tensors of the checkpoint are ignored. Throws
/// RefusedError, naming `origin` and the first tensor that is missing or has another shape.
void load_parts(Executor& executor, const std::vector<Part>& parts, const Checkpoint& checkpoint,
                const std::string& origin);

/// Copies parameters and running statistics of the `parts` of a model from another executor, whose
/// program must have them.
void copy_parts(const Executor& from, Executor& to, const std::vector<Part>& parts);

}  // namespace simclr
