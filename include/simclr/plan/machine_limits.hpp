#pragma once
// What this machine can do at best, measured: the yardstick beside every benchmark.

#include <optional>
#include <string>

#include "simclr/backend/backend.hpp"

namespace simclr {

/// Of the CPU: fused multiply-adds and bf16 dot products on registers, memcpy. Of a GPU: its
/// library's matrix products (f32; a 1x1 convolution in 16 bits) and a copy within its memory.
struct MachineLimits {
  std::string machine;  ///< "this machine, 2 threads"
  int threads = 1;
  double f32_gflops = 0;
  std::optional<double> bf16_gflops;       ///< where the machine has bf16 arithmetic
  double copy_gbytes_per_second = 0;       ///< far beyond the caches, bytes read + written
  [[nodiscard]] std::string text() const;  ///< one line
};

/// The CPU's. Takes about half a second. Best of a few repeats, as a limit should be.
MachineLimits measure_machine_limits(int threads);
/// Those of the machine that the backend runs on.
MachineLimits measure_limits(Backend& backend, int threads);

}  // namespace simclr
