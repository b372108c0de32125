#pragma once
// Between the flat buffers of an executor and the named tensors of a checkpoint.

#include <string>

#include "simclr/backend/executor.hpp"
#include "simclr/comm/communicator.hpp"
#include "simclr/io/checkpoint.hpp"

namespace simclr {

/// Every parameter, running statistic and optimiser tensor by name, in recording order.
Checkpoint collect_state(const Executor& executor);

/// The reverse: rank 0's checkpoint into every rank's flat buffers. See Trainer::restore.
void restore_state(Executor& executor, const Checkpoint* checkpoint, const std::string& origin,
                   Communicator& comm);

}  // namespace simclr
