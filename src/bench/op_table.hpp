#pragma once

#include "simclr/backend/executor.hpp"
#include "simclr/plan/machine_limits.hpp"

namespace simclr {

/// Enough to hide behind the work how long the host takes to start it.
inline constexpr int kRunsOnGpu = 10;

struct OpTableOptions {
  int repeats = 5;        ///< an op's time is its median over them
  bool by_shape = false;  ///< a line for each kind and shape, not for each kind
  bool bf16 = false;      ///< convolutions are held against the bf16 limit
  int runs = 1;           ///< of an op that are timed together; kRunsOnGpu on a GPU
  double views = 0;       ///< of a step, on this rank
};

/// Times every op of the executor's program on its own, in the order and memory of the real step,
/// and prints time, rate and share of the machine's limit for each kind. Every rank of the
/// program's communicators calls it.
void print_op_table(Executor& executor, const MachineLimits& limits, const OpTableOptions& options);

}  // namespace simclr
