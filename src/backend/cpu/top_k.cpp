// The largest values of rows: a heap of the k best so far, whose front is the least of them.

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "../top_k_order.hpp"
#include "steps.hpp"

namespace simclr::cpu {

namespace {

using Candidate = std::uint64_t;  // top_k_order

/// Fills `heap` (k) with the row's best candidates, best first; how many there are.
std::int64_t select(const float* row, std::int64_t count, Candidate* heap, std::int64_t k) {
  const std::greater<> least_in_front;
  std::int64_t held = 0;
  for (std::int64_t column = 0; column < count; ++column) {
    const Candidate candidate =
        top_k_order::candidate_of(top_k_order::key_of(row[column]), static_cast<int>(column));
    if (held == k) {
      if (candidate < heap[0]) continue;
      std::pop_heap(heap, heap + held, least_in_front);
      heap[held - 1] = candidate;
    } else {
      heap[held++] = candidate;
    }
    std::push_heap(heap, heap + held, least_in_front);
  }
  std::sort_heap(heap, heap + held, least_in_front);
  return held;
}

}  // namespace

Prepared prepare(const TopK& op, const Context& context) {
  const TensorView values = context.tensor(op.values);
  const TensorView best = context.tensor(op.best);
  require_blocked(values);
  require_blocked(best);
  require(values.layout.channels <= std::numeric_limits<std::int32_t>::max(),
          "columns are counted in 32 bits");
  const std::int64_t rows = values.layout.images;
  const std::int64_t k = best.layout.channels;
  const std::size_t heap_bytes = static_cast<std::size_t>(rows * k) * sizeof(Candidate);
  return make_step(
      heap_bytes, [rows, k, values = values.as<float>(), width = values.layout.channels,
                   stride = values.layout.padded_channels(),
                   valid = context.tensor(op.valid).as<std::int32_t>(), best = best.as<float>(),
                   best_stride = best.layout.padded_channels(),
                   columns = context.tensor(op.columns).as<std::int32_t>(),
                   threads = context.threads](Workspace workspace) {
        auto* heaps = reinterpret_cast<Candidate*>(workspace.data());
        const std::int64_t count = std::clamp<std::int64_t>(*valid, 0, width);
        for_each_index(rows, threads, [&](std::int64_t row) {
          const float* from = values + row * stride;
          Candidate* heap = heaps + row * k;
          const std::int64_t held = select(from, count, heap, k);
          for (std::int64_t j = 0; j < k; ++j) {
            const std::int32_t column = j < held ? top_k_order::column_of(heap[j]) : -1;
            columns[row * k + j] = column;
            best[row * best_stride + j] = column >= 0 ? from[column] : -HUGE_VALF;
          }
          std::fill(best + row * best_stride + k, best + (row + 1) * best_stride, 0.0F);
        });
      });
}

}  // namespace simclr::cpu
