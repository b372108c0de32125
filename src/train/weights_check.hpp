#pragma once

#include <cstdint>

#include "simclr/backend/executor.hpp"
#include "simclr/comm/communicator.hpp"

namespace simclr {

/// Compares the ranks' parameters, optimiser state and running statistics by their hashes: they are
/// equal bit for bit as long as memory, network and program are sound. Throws Error
/// (desynchronised) on every rank, naming those that differ from most others, where they are not.
/// Collective.
void require_equal_weights(const Executor& executor, std::int64_t step, Communicator& world);

}  // namespace simclr
