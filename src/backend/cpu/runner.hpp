#pragma once

#include <memory>
#include <vector>

#include "steps.hpp"

namespace simclr::cpu {

/// Runs steps one after the other; between them pending gradient sums advance, because
/// MPI moves data only inside its calls.
std::unique_ptr<Runner> make_runner(std::vector<Prepared> steps, Workspace workspace, int threads,
                                    const PendingGradients& pending);

}  // namespace simclr::cpu
