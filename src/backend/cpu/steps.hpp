#pragma once
// How each op becomes a step on the CPU.

#include "../steps.hpp"
#include "layout.hpp"

namespace simclr::cpu {

class OneDnn;  // engine and stream; onednn.hpp

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

#define SIMCLR_VERB(Verb) Prepared prepare(const Verb& op, const Context& context);
#include "simclr/program/verbs.def"

}  // namespace simclr::cpu
