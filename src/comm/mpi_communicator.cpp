#include "mpi_communicator.hpp"

#include <algorithm>
#include <exception>
#include <utility>

#include "mpi_check.hpp"
#include "mpi_messages.hpp"
#include "node_ring.hpp"
#include "simclr/comm/session.hpp"
#include "simclr/core/activity.hpp"

namespace simclr {
namespace {

MPI_Op mpi_operation(Reduction reduction) {
  switch (reduction) {
    case Reduction::sum:
    case Reduction::mean:
      return MPI_SUM;
    case Reduction::max:
      return MPI_MAX;
    case Reduction::min:
      return MPI_MIN;
  }
  fail("internal error: unknown Reduction value");
}

template <class T>
void divide(BufferSpan buffer, int divisor) {
  auto* values = static_cast<T*>(buffer.data);
  std::for_each(values, values + buffer.count, [&](T& v) { v /= static_cast<T>(divisor); });
}

void advance_messages(MPI_Comm comm) {
  int found = 0;
  mpi_check(MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, comm, &found, MPI_STATUS_IGNORE), "MPI_Iprobe",
            Cause::lost_rank);
}

}  // namespace

MpiCommunicator::MpiCommunicator(MPI_Comm owned)
    : comm_(owned), uncaught_(std::uncaught_exceptions()) {
  mpi_check(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  mpi_check(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank");
  mpi_check(MPI_Comm_size(comm_, &size_), "MPI_Comm_size");
}

MpiCommunicator::~MpiCommunicator() {
  // Freeing is collective: a rank that unwinds alone would wait for the others forever.
  if (std::uncaught_exceptions() > uncaught_ || !mpi_is_live()) return;
  MPI_Comm_free(&comm_);
}

std::unique_ptr<MpiCommunicator> MpiCommunicator::with_gate(MPI_Comm owned) {
  auto made = std::make_unique<MpiCommunicator>(owned);
  try {
    made->gate_ = std::make_unique<NodeGate>(*made);
  } catch (const NoSharedMemoryError&) {
    // On all ranks: without the gate they wait inside MPI.
  }
  return made;
}

template <class Call>
void MpiCommunicator::collectively(const char* name, const Call& call) {
  const Waiting waiting(name);
  if (gate_) gate_->pass([&] { advance_messages(comm_); });
  mpi_check(call(), name, Cause::lost_rank);
}

void MpiCommunicator::barrier() {
  collectively("MPI_Barrier", [&] { return MPI_Barrier(comm_); });
}

void MpiCommunicator::broadcast(BufferSpan buffer, int root) {
  const BufferSpan bytes{buffer.data, buffer.bytes(), DType::u8};
  for_each_message(bytes.count, [&](std::size_t first, int count) {
    collectively("MPI_Bcast",
                 [&] { return MPI_Bcast(at(bytes, first), count, MPI_BYTE, root, comm_); });
  });
}

void MpiCommunicator::all_reduce(BufferSpan buffer, Reduction reduction) {
  for_each_message(buffer.count, [&](std::size_t first, int count) {
    collectively("MPI_Allreduce", [&] {
      return MPI_Allreduce(MPI_IN_PLACE, at(buffer, first), count, mpi_type(buffer.dtype),
                           mpi_operation(reduction), comm_);
    });
  });
  if (reduction != Reduction::mean) return;
  if (buffer.dtype == DType::f32) return divide<float>(buffer, size_);
  if (buffer.dtype == DType::f64) return divide<double>(buffer, size_);
  fail("the mean of {} over ranks is not supported", name_of(buffer.dtype));
}

void MpiCommunicator::all_gather(ConstBufferSpan send, BufferSpan receive) {
  require(receive.bytes() == send.bytes() * static_cast<std::size_t>(size_),
          "all_gather's receive buffer must hold one block per rank");
  const BufferSpan bytes{receive.data, receive.bytes(), DType::u8};
  if (send.bytes() <= kMaxElementsPerMessage) {
    const auto count = static_cast<int>(send.bytes());
    collectively("MPI_Allgather", [&] {
      return MPI_Allgather(send.data, count, MPI_BYTE, bytes.data, count, MPI_BYTE, comm_);
    });
    return;
  }
  const auto* own = static_cast<const std::byte*>(send.data);
  std::copy(own, own + send.bytes(), at(bytes, send.bytes() * static_cast<std::size_t>(rank_)));
  for (int root = 0; root < size_; ++root) {
    broadcast({at(bytes, send.bytes() * static_cast<std::size_t>(root)), send.bytes(), DType::u8},
              root);
  }
}

void MpiCommunicator::start_all_reduce(BufferSpan buffer) {
  if (!ring_ && gate_ && gate_->ranks() < size_) {
    ring_ = std::make_unique<NodeRing>(*this, split_by_node(*this));
  }
  if (ring_) return for_ring_.push_back(buffer);
  for_each_message(buffer.count, [&](std::size_t first, int count) {
    MPI_Request request = MPI_REQUEST_NULL;
    mpi_check(MPI_Iallreduce(MPI_IN_PLACE, at(buffer, first), count, mpi_type(buffer.dtype),
                             MPI_SUM, comm_, &request),
              "MPI_Iallreduce", Cause::lost_rank);
    pending_.push_back(request);
  });
}

void MpiCommunicator::progress() {
  if (pending_.empty()) return;
  int done = 0;
  mpi_check(
      MPI_Testall(static_cast<int>(pending_.size()), pending_.data(), &done, MPI_STATUSES_IGNORE),
      "MPI_Testall", Cause::lost_rank);
  if (done != 0) pending_.clear();
}

void MpiCommunicator::wait_for_all() {
  if (ring_) {
    for (const BufferSpan& buffer : std::exchange(for_ring_, {})) ring_->sum(buffer);
    return;
  }
  collectively("MPI_Waitall", [&] {
    return MPI_Waitall(static_cast<int>(pending_.size()), pending_.data(), MPI_STATUSES_IGNORE);
  });
  pending_.clear();
}

std::unique_ptr<Communicator> MpiCommunicator::duplicate() {
  MPI_Comm copy = MPI_COMM_NULL;
  collectively("MPI_Comm_dup", [&] { return MPI_Comm_dup(comm_, &copy); });
  return with_gate(copy);
}

std::unique_ptr<Communicator> MpiCommunicator::split(int color) {
  MPI_Comm part = MPI_COMM_NULL;
  collectively("MPI_Comm_split", [&] { return MPI_Comm_split(comm_, color, rank_, &part); });
  return with_gate(part);
}

std::unique_ptr<Communicator> make_world_communicator() {
  MPI_Comm copy = MPI_COMM_NULL;
  mpi_check(MPI_Comm_dup(MPI_COMM_WORLD, &copy), "MPI_Comm_dup");
  return MpiCommunicator::with_gate(copy);
}

}  // namespace simclr
