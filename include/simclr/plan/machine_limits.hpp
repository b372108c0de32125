#pragma once
// Measures the limits of this machine, with which benchmarks are compared, and fills the inputs of
// programs that are timed.

#include <optional>
#include <string>

#include "simclr/backend/backend.hpp"
#include "simclr/backend/executor.hpp"

namespace simclr {

/// The limits of a machine. CPU: fused multiply-adds and bf16 dot products on registers, and
/// memcpy. GPU: its library's matrix products (f32; a 1x1 convolution in 16 bits), and a copy
/// within its memory.
struct MachineLimits {
  std::string machine;  ///< "this machine, 2 threads"
  int threads = 1;
  double f32_gflops = 0;
  std::optional<double> bf16_gflops;       ///< empty without bf16 arithmetic
  double copy_gbytes_per_second = 0;       ///< bytes read + written, far beyond the caches
  [[nodiscard]] std::string text() const;  ///< the limits in one line
};

/// Measures the CPU in about half a second; each limit is the best of a few repeats.
MachineLimits measure_machine_limits(int threads);
/// Measures the machine that the backend runs on.
MachineLimits measure_limits(Backend& backend, int threads);

/// Fills the inputs of a pretraining program for timing: parameters and pixels in (-1, 1), initial
/// statistics, a small learning rate.
void fill_inputs(Executor& executor);

}  // namespace simclr
