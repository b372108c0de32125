#pragma once
// What this machine can do at best, measured: the yardstick beside every benchmark.

#include <optional>
#include <string>

namespace simclr {

struct MachineLimits {
  int threads = 1;
  double f32_gflops = 0;              ///< fused multiply-adds on registers, two operations each
  std::optional<double> bf16_gflops;  ///< bf16 dot products on registers, where the CPU has them
  double copy_gbytes_per_second = 0;  ///< memcpy far beyond the caches, bytes read + written
  [[nodiscard]] std::string text() const;  ///< one line
};

/// Takes about half a second. Best of a few repeats, as a limit should be.
MachineLimits measure_machine_limits(int threads);

}  // namespace simclr
