#include <fcntl.h>
#include <mpi.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "mpi_check.hpp"
#include "mpi_communicator.hpp"
#include "simclr/comm/session.hpp"
#include "simclr/core/activity.hpp"
#include "simclr/core/hash.hpp"
#include "simclr/core/system.hpp"

namespace simclr {
namespace {

constexpr const char* kDirectory = "/dev/shm";  // where shm_open() has its objects
constexpr std::size_t kPage = 4096;
constexpr std::int64_t kReserveBytes = std::int64_t{256} << 20;
constexpr std::chrono::seconds kLongestTurn{30};
/// The buffers of MPI libraries lie in /dev/shm, too, and are not reserved: a large object must
/// leave them room, or their ranks die when they use them.
constexpr std::uint64_t kMpiBytesPerRank = std::uint64_t{4} << 20;

NodePlace place_in(const MpiCommunicator& node) { return {node.rank(), node.size()}; }

}  // namespace

MPI_Comm split_by_node(const MpiCommunicator& world) {
  MPI_Comm node = MPI_COMM_NULL;
  const Waiting waiting("MPI_Comm_split_type");
  mpi_check(
      MPI_Comm_split_type(world.handle(), MPI_COMM_TYPE_SHARED, world.rank(), MPI_INFO_NULL, &node),
      "MPI_Comm_split_type");
  return node;
}

NodePlace node_place(Communicator& world) {
  auto* mpi = dynamic_cast<MpiCommunicator*>(&world);
  if (mpi == nullptr) return {};
  return place_in(MpiCommunicator(split_by_node(*mpi)));
}

std::unique_ptr<Communicator> ranks_of_node(Communicator& world) {
  auto* mpi = dynamic_cast<MpiCommunicator*>(&world);
  if (mpi == nullptr) return make_self_communicator();
  return std::make_unique<MpiCommunicator>(split_by_node(*mpi));
}

/// Memory of this process for a rank alone on its node or without MPI; otherwise an object in
/// /dev/shm that all ranks of the node map.
struct NodeSharedMemory::Impl {
  std::unique_ptr<MpiCommunicator> node;
  std::unique_ptr<std::byte, decltype(&std::free)> own{nullptr, &std::free};
  std::span<std::byte> mapped;
  std::span<std::byte> bytes;

  ~Impl() {
    if (!mapped.empty()) ::munmap(mapped.data(), mapped.size());
  }

  void allocate_own(std::size_t count) {
    own.reset(static_cast<std::byte*>(std::aligned_alloc(kPage, (count / kPage + 1) * kPage)));
    if (!own) {
      fail("{}: cannot allocate {:.1f} MB of memory for the data set; use --cache none",
           host_name(), static_cast<double>(count) / 1e6);
    }
    bytes = {own.get(), count};
  }

  /// Collective over `world`, so that all ranks fail together.
  void allocate_shared(MpiCommunicator& world, std::size_t count) {
    node = std::make_unique<MpiCommunicator>(split_by_node(world));
    std::string failure;
    if (node->size() == 1) {
      allocate_own(count);
    } else {
      failure = map_shared(count);
    }
    auto least = static_cast<double>(failure.empty() ? UINT64_MAX : free_shared_bytes());
    failure = first_text(world, failure);
    if (failure.empty()) return;
    world.all_reduce({&least, 1, DType::f64}, Reduction::min);
    throw NoSharedMemoryError(failure, static_cast<std::uint64_t>(least));
  }

  /// Returns why it is impossible, the same on all ranks of the node; empty on success.
  std::string map_shared(std::size_t count) {
    const std::size_t size = (count / kPage + 1) * kPage;
    int error = 0;
    const Descriptor memory = open_together(size, error);
    if (const int worst = worst_of_node(error); worst != 0) {
      return fmt::format("{}: cannot create shared memory in {}: {}", host_name(), kDirectory,
                         reason_of(worst, kDirectory));
    }
    error = reserve_together(memory, size);
    if (const int worst = worst_of_node(error); worst != 0) {
      (void)::ftruncate(memory.get(), 0);
      node->barrier();
      return describe_shortage(size, worst);
    }
    void* base = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
    error = base == MAP_FAILED ? errno : 0;
    if (error == 0) mapped = {static_cast<std::byte*>(base), size};
    if (const int worst = worst_of_node(error); worst != 0) {
      return fmt::format("{}: cannot map {} bytes of shared memory: {}", host_name(), size,
                         std::strerror(worst));
    }
    bytes = mapped.first(count);
    return "";
  }

  /// Creates an object of a random name, which is gone as soon as all ranks have it open: it is
  /// then freed with the last process, however that ends.
  Descriptor open_together(std::size_t size, int& error) {
    const bool creates = node->rank() == 0;
    const std::string name =
        broadcast_text(*node, creates ? "/simclr-" + to_hex(random_number()) : "");
    constexpr mode_t kOwnerOnly = 0600;
    Descriptor memory;
    if (creates) {
      memory = Descriptor(::shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, kOwnerOnly));
      if (!memory || ::ftruncate(memory.get(), static_cast<off_t>(size)) != 0) error = errno;
    }
    node->barrier();
    if (!creates) {
      memory = Descriptor(::shm_open(name.c_str(), O_RDWR, kOwnerOnly));
      if (!memory) error = errno;
    }
    node->barrier();
    if (creates) ::shm_unlink(name.c_str());
    return memory;
  }

  /// Reserves the memory, because writing to a page for which there is no room kills the process.
  /// Each rank reserves a part, from its own cores' memory. Other jobs that start at the same time
  /// wait for it, so that one of them gets all the memory instead of each a part.
  int reserve_together(const Descriptor& memory, std::size_t size) {
    const Descriptor turn = node->rank() == 0 ? take_turn() : Descriptor();
    node->barrier();
    const std::uint64_t free = free_shared_bytes();
    const std::uint64_t for_mpi =
        std::max(free / 10, kMpiBytesPerRank * static_cast<std::uint64_t>(node->size()));
    int error = free < size + std::min<std::uint64_t>(size, for_mpi) ? ENOSPC : 0;
    node->barrier();
    const auto pages = static_cast<std::int64_t>(size / kPage);
    constexpr auto kPageBytes = static_cast<std::int64_t>(kPage);
    const std::int64_t first = pages * node->rank() / node->size() * kPageBytes;
    const std::int64_t end = pages * (node->rank() + 1) / node->size() * kPageBytes;
    for (std::int64_t at = first; at < end && error == 0;) {
      const std::int64_t length = std::min(kReserveBytes, end - at);
      error = ::posix_fallocate(memory.get(), at, length);
      if (error == 0) at += length;
      if (error == EINTR) error = 0;
      activity().move();
    }
    node->barrier();  // rank 0 holds its turn until all have reserved
    return error;
  }

  /// Waits until no other job reserves memory, but not for ever.
  static Descriptor take_turn() {
    Descriptor directory(::open(kDirectory, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const auto deadline = std::chrono::steady_clock::now() + kLongestTurn;
    while (directory && ::flock(directory.get(), LOCK_EX | LOCK_NB) != 0 &&
           std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return directory;
  }

  int worst_of_node(int error) {
    std::int32_t worst = error;
    node->all_reduce({&worst, 1, DType::i32}, Reduction::max);
    return worst;
  }

  std::string describe_shortage(std::size_t size, int error) {
    constexpr double kMegabyte = 1e6;
    if (error != ENOSPC) {
      return fmt::format("{}: cannot reserve {:.1f} MB in {}: {}", host_name(),
                         static_cast<double>(size) / kMegabyte, kDirectory, std::strerror(error));
    }
    return fmt::format(
        "{}: {} has no room for the {:.1f} MB that this node's ranks share ({:.1f} MB free); make "
        "it larger (mount -o remount,size=...; docker run --shm-size), or use --cache distributed",
        host_name(), kDirectory, static_cast<double>(size) / kMegabyte,
        static_cast<double>(free_shared_bytes()) / kMegabyte);
  }

  static std::uint64_t free_shared_bytes() {
    struct statvfs status {};
    if (::statvfs(kDirectory, &status) != 0) return 0;
    if (status.f_blocks == 0) return std::uint64_t{1} << 62;  // a size of 0 is no limit
    return std::uint64_t{status.f_bavail} * status.f_frsize;
  }
};

NodeSharedMemory::NodeSharedMemory(Communicator& world, std::size_t bytes)
    : impl_(std::make_unique<Impl>()) {
  if (auto* mpi = dynamic_cast<MpiCommunicator*>(&world)) {
    impl_->allocate_shared(*mpi, bytes);
  } else {
    impl_->allocate_own(bytes);
  }
}

NodeSharedMemory::~NodeSharedMemory() = default;

std::span<std::byte> NodeSharedMemory::bytes() const { return impl_->bytes; }

NodePlace NodeSharedMemory::place() const {
  return impl_->node ? place_in(*impl_->node) : NodePlace{};
}

void NodeSharedMemory::synchronize() {
  if (impl_->mapped.empty()) return;
  std::atomic_thread_fence(std::memory_order_seq_cst);
  impl_->node->barrier();
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

}  // namespace simclr
