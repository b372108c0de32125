#pragma once
// How each op becomes a step on the CPU.

#include "../steps.hpp"
#include "layout.hpp"
#include "simclr/core/check.hpp"

namespace simclr::cpu {

struct OneDnn;  // engine and stream; onednn.hpp

/// Gradient sums that are in flight, from ReduceGradients to WaitForGradients.
struct PendingGradients {
  Communicator* lane = nullptr;  ///< null when nothing is pending
};

struct Context : PrepareContext<layout_of> {
  int threads = 1;  ///< of every parallel region
  OneDnn& onednn;
  PendingGradients& pending;
};
using TensorView = Context::View;

/// visit(i) for i in [0, count), divided evenly among the threads.
template <class Visit>
void for_each_index(std::int64_t count, int threads, Visit&& visit) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (std::int64_t i = 0; i < count; ++i) visit(i);
}

/// make(T{}) with T the element type of an activation, float or bf16.
template <class Make>
decltype(auto) for_activation_type(DType dtype, Make&& make) {
  if (dtype == DType::f32) return make(float{});
  if (dtype == DType::bf16) return make(bf16{});
  fail("activations are f32 or bf16, not {}", name_of(dtype));
}

inline void require_blocked(const TensorView& tensor) {
  require(tensor.layout.kind == Layout::Kind::blocked,
          "activations are blocked by channels (rank 2, or rank 4 but not of 3 channels)");
}

#define SIMCLR_VERB(Verb) Prepared prepare(const Verb& op, const Context& context);
#include "simclr/program/verbs.def"

}  // namespace simclr::cpu
