#pragma once

#include <memory>
#include <vector>

#include "mpi_communicator.hpp"

namespace simclr {

/// Sums over the ranks of several nodes, where the links between nodes are the slowest part. The
/// ranks of a node first sum among themselves. One of them then takes part in a ring of nodes, in
/// which each node sends 2 (N-1)/N of the bytes and receives as many at the same time, the least
/// that is possible (Patarasuk and Yuan 2009); MPI's nonblocking sum sends all of them there, and
/// then all back. All ranks get the same bits, which depend only on how ranks are placed on nodes.
class NodeRing {
 public:
  /// `node` holds the ranks of this rank's node, and belongs to the ring from now on. All ranks of
  /// `ranks` create the ring together.
  NodeRing(const MpiCommunicator& ranks, MPI_Comm node);

  /// Replaces the values by their sums over all ranks: f32, f64 or i32.
  void sum(BufferSpan buffer);

 private:
  void pass_around(BufferSpan buffer);

  std::unique_ptr<MpiCommunicator> node_;
  MpiCommunicator first_ranks_;  ///< of all nodes; on other ranks it is not used
  std::vector<std::byte> received_;
};

}  // namespace simclr
