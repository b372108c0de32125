#pragma once

#include <cstdint>
#include <vector>

namespace simclr {

/// Returns the first `count` values of a fixed sequence in (-1, 1).
inline std::vector<float> pseudo_random(std::int64_t count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  std::uint32_t state = 1;
  for (float& value : values) {
    state = state * 1664525U + 1013904223U;
    value = static_cast<float>(state >> 8) * 0x1p-23F - 1;
  }
  return values;
}

}  // namespace simclr
