#include <mpi.h>

#include <cstdlib>
#include <exception>
#include <new>

#include "mpi_check.hpp"
#include "mpi_communicator.hpp"
#include "simclr/comm/session.hpp"
#include "simclr/core/activity.hpp"

namespace simclr {
namespace {

MPI_Comm split_by_node(const MpiCommunicator& world) {
  MPI_Comm node = MPI_COMM_NULL;
  const Waiting waiting("MPI_Comm_split_type");
  mpi_check(
      MPI_Comm_split_type(world.handle(), MPI_COMM_TYPE_SHARED, world.rank(), MPI_INFO_NULL, &node),
      "MPI_Comm_split_type");
  return node;
}

NodePlace place_in(const MpiCommunicator& node) { return {node.rank(), node.size()}; }

}  // namespace

NodePlace node_place(Communicator& world) {
  auto* mpi = dynamic_cast<MpiCommunicator*>(&world);
  if (mpi == nullptr) return {};
  return place_in(MpiCommunicator(split_by_node(*mpi)));
}

/// Memory of this process for a rank alone on its node or without MPI; otherwise a window that the
/// node's first rank owns.
struct NodeSharedMemory::Impl {
  std::unique_ptr<MpiCommunicator> node;
  MPI_Win window = MPI_WIN_NULL;
  std::unique_ptr<std::byte, decltype(&std::free)> own{nullptr, &std::free};
  std::span<std::byte> bytes;
  int uncaught = std::uncaught_exceptions();

  void allocate_own(std::size_t count) {
    constexpr std::size_t kPage = 4096;  // as windows are aligned
    own.reset(static_cast<std::byte*>(std::aligned_alloc(kPage, (count / kPage + 1) * kPage)));
    if (!own) throw std::bad_alloc();
    bytes = {own.get(), count};
  }

  void allocate_window(const MpiCommunicator& world, std::size_t count) {
    node = std::make_unique<MpiCommunicator>(split_by_node(world));
    if (node->size() == 1) return allocate_own(count);
    const Waiting waiting("MPI_Win_allocate_shared");
    void* base = nullptr;
    const auto mine = static_cast<MPI_Aint>(node->rank() == 0 ? count : 0);
    mpi_check(MPI_Win_allocate_shared(mine, 1, MPI_INFO_NULL, node->handle(), &base, &window),
              "MPI_Win_allocate_shared");
    MPI_Aint size = 0;
    int unit = 0;
    mpi_check(MPI_Win_shared_query(window, 0, &size, &unit, &base), "MPI_Win_shared_query");
    mpi_check(MPI_Win_lock_all(MPI_MODE_NOCHECK, window), "MPI_Win_lock_all");
    bytes = {static_cast<std::byte*>(base), count};
  }
};

NodeSharedMemory::NodeSharedMemory(Communicator& world, std::size_t bytes)
    : impl_(std::make_unique<Impl>()) {
  if (auto* mpi = dynamic_cast<MpiCommunicator*>(&world)) {
    impl_->allocate_window(*mpi, bytes);
  } else {
    impl_->allocate_own(bytes);
  }
}

NodeSharedMemory::~NodeSharedMemory() {
  if (impl_->window == MPI_WIN_NULL) return;
  // Freeing is collective, see ~MpiCommunicator.
  if (std::uncaught_exceptions() > impl_->uncaught || !mpi_is_live()) return;
  MPI_Win_unlock_all(impl_->window);
  MPI_Win_free(&impl_->window);
}

std::span<std::byte> NodeSharedMemory::bytes() const { return impl_->bytes; }

NodePlace NodeSharedMemory::place() const {
  return impl_->node ? place_in(*impl_->node) : NodePlace{};
}

void NodeSharedMemory::synchronize() {
  if (impl_->window == MPI_WIN_NULL) return;
  mpi_check(MPI_Win_sync(impl_->window), "MPI_Win_sync");
  impl_->node->barrier();
  mpi_check(MPI_Win_sync(impl_->window), "MPI_Win_sync");
}

}  // namespace simclr
