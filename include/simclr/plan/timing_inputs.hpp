#pragma once

#include "simclr/backend/executor.hpp"

namespace simclr {

/// Fills the inputs of a pretraining program for timing: initial parameters and statistics, pixels
/// in (-1, 1), a small learning rate.
void fill_inputs(Executor& executor);

}  // namespace simclr
