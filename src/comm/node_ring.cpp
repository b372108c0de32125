#include "node_ring.hpp"

#include "mpi_check.hpp"
#include "mpi_messages.hpp"
#include "simclr/core/activity.hpp"

namespace simclr {
namespace {

MPI_Comm split_by_role(const MpiCommunicator& ranks, bool is_first) {
  MPI_Comm part = MPI_COMM_NULL;
  const Waiting waiting("MPI_Comm_split");
  mpi_check(MPI_Comm_split(ranks.handle(), is_first ? 0 : 1, ranks.rank(), &part), "MPI_Comm_split",
            Cause::lost_rank);
  return part;
}

}  // namespace

NodeRing::NodeRing(const MpiCommunicator& ranks, MPI_Comm node)
    : node_(MpiCommunicator::with_gate(node)),
      first_ranks_(split_by_role(ranks, node_->rank() == 0)) {}

void NodeRing::sum(BufferSpan buffer) {
  node_->all_reduce(buffer, Reduction::sum);
  if (node_->rank() == 0) {
    for_each_message(buffer.count, [&](std::size_t first, int count) {
      pass_around({at(buffer, first), static_cast<std::size_t>(count), buffer.dtype});
    });
  }
  node_->broadcast(buffer, 0);  // its other ranks sleep until the first one is back
}

// Part i of the buffer starts at node i. On its first round each node adds its own values and hands
// the part on; the node that adds last has the sum, and the second round hands that on.
void NodeRing::pass_around(BufferSpan buffer) {
  const int nodes = first_ranks_.size();
  const int own = first_ranks_.rank();
  const auto begin = [&](int part) {
    return buffer.count * static_cast<std::size_t>(part) / static_cast<std::size_t>(nodes);
  };
  const auto part_of = [&](int index) -> BufferSpan {
    const int part = (index % nodes + nodes) % nodes;
    return {at(buffer, begin(part)), begin(part + 1) - begin(part), buffer.dtype};
  };
  const MPI_Datatype type = mpi_type(buffer.dtype);
  const Waiting waiting("MPI_Sendrecv");
  const auto exchange = [&](const BufferSpan& send, void* to, std::size_t count) {
    constexpr int kTag = 0;
    mpi_check(MPI_Sendrecv(send.data, static_cast<int>(send.count), type, (own + 1) % nodes, kTag,
                           to, static_cast<int>(count), type, (own + nodes - 1) % nodes, kTag,
                           first_ranks_.handle(), MPI_STATUS_IGNORE),
              "MPI_Sendrecv", Cause::lost_rank);
  };
  for (int step = 0; step < nodes - 1; ++step) {
    const BufferSpan mine = part_of(own - step - 1);
    received_.resize(mine.bytes());
    exchange(part_of(own - step), received_.data(), mine.count);
    mpi_check(
        MPI_Reduce_local(received_.data(), mine.data, static_cast<int>(mine.count), type, MPI_SUM),
        "MPI_Reduce_local");
  }
  for (int step = 0; step < nodes - 1; ++step) {
    const BufferSpan next = part_of(own - step);
    exchange(part_of(own - step + 1), next.data, next.count);
  }
}

}  // namespace simclr
