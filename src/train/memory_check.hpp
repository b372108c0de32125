#pragma once
// Refuses a run that would be killed for lack of memory, before it trains.

#include <cstdint>

#include "simclr/backend/backend.hpp"
#include "simclr/comm/communicator.hpp"
#include "simclr/data/memory_budget.hpp"

namespace simclr {

/// Host memory that a rank takes after the data set is open, in bytes; at least, since the scratch
/// memory of libraries is not known yet.
struct MemoryNeed {
  double activations = 0;
  double parameters = 0;  ///< with gradients, optimizer state and running statistics
  double batches = 0;     ///< views of this step and of those that the loader prepares
  double checkpoint = 0;  ///< of the rank that writes it

  [[nodiscard]] double total() const { return activations + parameters + batches + checkpoint; }
};
MemoryNeed memory_need(const Program& program, const Backend& backend, bool writes_checkpoints);

/// Throws RefusedError on all ranks, with sizes and advice, if on any node the needs of its ranks
/// are more than the node has. `more` is what this rank frees before it trains, or, if negative,
/// what it will take beside its need. Call it before the memory is taken. Collective.
void require_memory(const MemoryNeed& own, double more, Communicator& world);

/// The refusal for a node on which `ranks` ranks need `need` in all; "" if it fits into `budget`
/// and `more`.
std::string describe_memory_shortage(const MemoryNeed& need, double more,
                                     const MemoryBudget& budget, int ranks);

}  // namespace simclr
