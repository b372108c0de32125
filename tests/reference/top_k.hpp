#pragma once
// Finds the largest values of rows by a stable sort of all columns.

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "reference/memory.hpp"

namespace simclr::reference {

template <class T>
void reference(const TopK& op, Memory<T>& memory) {
  const auto values = memory[op.values];
  const auto best = memory[op.best];
  const auto columns = memory[op.columns];
  std::vector<std::int64_t> order(static_cast<std::size_t>(real_part(memory[op.valid](0))));
  for (std::int64_t v = 0; v < values.extent(0); ++v) {
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, std::greater<>{},
                             [&](std::int64_t c) { return real_part(values(v, c)); });
    for (std::int64_t j = 0; j < best.extent(1); ++j) {
      const bool exists = j < std::ssize(order);
      const std::int64_t column = exists ? order[static_cast<std::size_t>(j)] : -1;
      best(v, j) = exists ? values(v, column) : T(-std::numeric_limits<double>::infinity());
      columns(v, j) = T(static_cast<double>(column));
    }
  }
}

}  // namespace simclr::reference
