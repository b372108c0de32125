#pragma once

#include <mpi.h>

#include <memory>
#include <vector>

#include "node_gate.hpp"
#include "simclr/comm/communicator.hpp"

namespace simclr {

class NodeRing;

/// Owns its MPI communicator. Splits counts that exceed an `int` into several messages.
class MpiCommunicator final : public Communicator {
 public:
  explicit MpiCommunicator(MPI_Comm owned);
  /// Makes a communicator whose ranks wait for those of the same node at a gate (node_gate.hpp).
  static std::unique_ptr<MpiCommunicator> with_gate(MPI_Comm owned);
  MpiCommunicator(const MpiCommunicator&) = delete;
  MpiCommunicator& operator=(const MpiCommunicator&) = delete;
  ~MpiCommunicator() override;

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return size_; }
  [[nodiscard]] MPI_Comm handle() const { return comm_; }

  void barrier() override;
  void broadcast(BufferSpan buffer, int root) override;
  void all_reduce(BufferSpan buffer, Reduction reduction) override;
  void all_gather(ConstBufferSpan send, BufferSpan receive) override;
  /// Ranks of one node sum in the background. Ranks of several nodes sum in wait_for_all(), around
  /// a ring of nodes (node_ring.hpp), which takes half the time of MPI's sums in the background.
  void start_all_reduce(BufferSpan buffer) override;
  void progress() override;
  void wait_for_all() override;
  std::unique_ptr<Communicator> duplicate() override;
  std::unique_ptr<Communicator> split(int color) override;

 private:
  /// Runs a call in which all ranks take part. Its failure has the cause lost_rank: the peer or the
  /// link to it has failed.
  template <class Call>
  void collectively(const char* name, const Call& call);

  MPI_Comm comm_;
  int rank_ = 0;
  int size_ = 1;
  int uncaught_;
  std::vector<MPI_Request> pending_;
  std::unique_ptr<NodeGate> gate_;
  std::unique_ptr<NodeRing> ring_;  ///< from the first start_all_reduce() over several nodes
  std::vector<BufferSpan> for_ring_;
};

/// The ranks of `world` on this rank's node, in their order (collective call).
MPI_Comm split_by_node(const MpiCommunicator& world);

}  // namespace simclr
