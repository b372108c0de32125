#pragma once

#include <cstdint>

#include "simclr/backend/executor.hpp"
#include "simclr/comm/communicator.hpp"

namespace simclr {

/// Compares hashes of parameters, optimizer state and running statistics over the ranks: they are
/// equal unless memory, network or program is faulty. If they differ, throws Error
/// (Cause::desynchronized) on every rank, naming the ranks that differ from the majority.
/// Collective.
void require_equal_weights(const Executor& executor, std::int64_t step, Communicator& world);

}  // namespace simclr
