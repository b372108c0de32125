#pragma once

#include "simclr/backend/executor.hpp"

namespace simclr {

/// Gives a pretraining program that is to be timed what a first step has: initial parameters and
/// statistics, pixels in (-1, 1), a small learning rate.
void fill_inputs(Executor& executor);

}  // namespace simclr
