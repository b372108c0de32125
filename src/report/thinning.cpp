#include "thinning.hpp"

#include <algorithm>
#include <numeric>

namespace simclr {

std::vector<std::size_t> thin(std::span<const double> values, std::size_t limit) {
  const std::size_t count = values.size();
  std::vector<std::size_t> kept;
  if (count <= limit) {
    kept.resize(count);
    std::iota(kept.begin(), kept.end(), std::size_t{0});
    return kept;
  }
  const std::size_t stretches = (limit - 2) / 2;
  const std::size_t inner = count - 2;
  kept.push_back(0);
  for (std::size_t s = 0; s < stretches; ++s) {
    const auto begin = values.begin() + static_cast<std::ptrdiff_t>(1 + inner * s / stretches);
    const auto end = values.begin() + static_cast<std::ptrdiff_t>(1 + inner * (s + 1) / stretches);
    const auto [least, greatest] = std::minmax_element(begin, end);
    const auto first = static_cast<std::size_t>(std::min(least, greatest) - values.begin());
    const auto second = static_cast<std::size_t>(std::max(least, greatest) - values.begin());
    kept.push_back(first);
    if (second != first) kept.push_back(second);
  }
  kept.push_back(count - 1);
  return kept;
}

}  // namespace simclr
