#pragma once
// A tensor of a program: a name, a shape and a kind of storage. The planner and the backend own its
// memory.

#include <compare>
#include <cstdint>
#include <string>

#include "simclr/tensor/dtype.hpp"
#include "simclr/tensor/shape.hpp"

namespace simclr {

struct TensorId {
  std::int32_t value = -1;
  auto operator<=>(const TensorId&) const = default;
};

/// Where a tensor is stored. Everything but `arena` persists from step to step.
enum class Storage : std::uint8_t {
  arena,          ///< placed by the planner; valid from its first to its last use in a step
  input,          ///< written by the host before a step (views, labels)
  control,        ///< small host-written values (learning rate)
  output,         ///< small results read by the host after a step (loss sums); also features
  parameters,     ///< flat f32 buffer: weights, gamma, beta
  gradients,      ///< flat f32 buffer, same offsets as `parameters`
  momentum,       ///< flat f32 buffer, same offsets (LARS and SGD velocity, AdamW first moment)
  second_moment,  ///< flat f32 buffer, same offsets (AdamW)
  running,        ///< flat f32 buffer: BN running means and variances
};

/// Canonical (host) layouts: activations (N,H,W,C) or (N,C) packed; filters (K,R,S,C); linear
/// weights (K,C). A backend may use other layouts (blocked, padded) for arena and input tensors,
/// but not for flat buffers.
struct TensorInfo {
  std::string name;
  Shape shape;
  DType dtype = DType::f32;
  Storage storage = Storage::arena;
  std::int64_t offset = 0;  ///< elements from the start of the flat buffer; 0 for the other kinds
};

inline bool is_flat(Storage storage) { return storage >= Storage::parameters; }

}  // namespace simclr
