#pragma once
// Where the ranks of a node wait for each other without occupying a core.

#include <cstdint>

#include "simclr/comm/session.hpp"

namespace simclr {

/// MPI's waiting occupies a core until the last rank has come, also one that this rank still
/// computes on. A rank therefore passes this gate before a collective call: it waits for the other
/// ranks of its node in shared memory, where it spins briefly and then sleeps. Ranks of other nodes
/// are waited for in MPI. Every call, a broadcast too, thereby synchronizes the ranks of a node.
class NodeGate {
 public:
  /// All ranks of `ranks` create it together.
  explicit NodeGate(Communicator& ranks);

  /// The number of ranks on this node.
  [[nodiscard]] int ranks() const { return memory_.place().ranks; }

  /// Returns once all ranks of the node have called it. Calls `progress` from time to time, since
  /// a sleeping rank does not advance messages that others may need.
  template <class Progress>
  void pass(const Progress& progress) {
    if (ranks() == 1) return;
    const std::uint32_t round = arrive();
    while (!opened(round)) progress();
  }

 private:
  struct State;

  /// Counts this rank in and opens the gate if it is the last. Returns the round it waits for.
  std::uint32_t arrive();
  /// Spins, then sleeps for a bounded time. Returns true once the gate has opened.
  bool opened(std::uint32_t round);

  NodeSharedMemory memory_;
  State* state_;
};

}  // namespace simclr
