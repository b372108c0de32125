#pragma once

#include "simclr/backend/executor.hpp"
#include "simclr/plan/machine_limits.hpp"

namespace simclr {

/// Runs of an op timed together on a GPU: enough that the time the host takes to launch them is
/// hidden.
inline constexpr int kRunsOnGpu = 10;

struct OpTableOptions {
  int repeats = 5;        ///< an op's time is its median over them
  bool by_shape = false;  ///< a line for each kind and shape instead of each kind
  bool bf16 = false;      ///< compare convolutions with the bf16 limit
  int runs = 1;           ///< runs of an op timed together; kRunsOnGpu on a GPU
  double views = 0;       ///< views of a step on this rank
};

/// Times every op of the executor's program alone, in the order and memory of the real step, and
/// prints time, rate and share of the machine's limit for each kind. Collective.
void print_op_table(Executor& executor, const MachineLimits& limits, const OpTableOptions& options);

}  // namespace simclr
