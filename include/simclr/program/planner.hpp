#pragma once
// Lays the arena tensors of a program into one block of memory, from their lifetimes.

#include <cstddef>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "simclr/program/program.hpp"

namespace simclr {

struct Lifetime {
  std::size_t first = std::numeric_limits<std::size_t>::max();  ///< op index of the first use
  std::size_t last = 0;                                         ///< op index of the last use
  [[nodiscard]] bool used() const { return first <= last; }
  [[nodiscard]] bool overlaps(const Lifetime& other) const {
    return used() && other.used() && first <= other.last && other.first <= last;
  }
};

struct ArenaPlan {
  std::vector<std::size_t> offset;  ///< bytes, per tensor; meaningful for arena tensors
  std::vector<std::size_t> bytes;   ///< per tensor, as the backend stores it
  std::vector<Lifetime> lifetime;   ///< per tensor
  std::size_t arena_bytes = 0;
};

/// Largest first, each at the lowest offset where it overlaps no live tensor. `storage_bytes` is
/// the backend's size of a tensor. Tensors in `keep` live to the end of the program.
ArenaPlan plan_arena(const Program& program,
                     const std::function<std::size_t(const TensorInfo&)>& storage_bytes,
                     const std::vector<TensorId>& keep = {});

struct MemoryReport {
  std::size_t arena_bytes = 0;
  std::size_t live_peak_bytes = 0;         ///< the lower bound: the most that is alive at one op
  std::size_t saved_activation_bytes = 0;  ///< alive across the start of the backward pass
  std::size_t parameter_bytes = 0;         ///< parameters, gradients, optimizer state, running
  std::size_t input_bytes = 0;
  std::size_t workspace_bytes = 0;
  std::string peak_op;  ///< where the peak is
};
MemoryReport report_memory(const Program& program, const ArenaPlan& plan,
                           std::size_t workspace_bytes);

/// Inserts ReduceGradients after the ops that complete each bucket of the flat gradient buffer and
/// WaitForGradients in front of the update. Buckets hold at least `bucket_bytes`.
void insert_gradient_buckets(Program& program, std::size_t bucket_bytes);

}  // namespace simclr
