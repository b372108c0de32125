#pragma once
// The MPI session of the process. MPI types stay inside src/comm and src/io.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "simclr/comm/communicator.hpp"
#include "simclr/core/check.hpp"

namespace simclr {

/// Whether the launcher has started ranks with other command lines beside this one (mpirun A : B).
/// Only Open MPI's tells. Needs no MpiSession.
bool launched_with_other_commands();

/// "VARIABLE=NUMBER" if the launcher of this process has started other ranks beside it; empty if it
/// has not, or if there is no launcher. The launcher of an MPI library is asked before Slurm: it
/// may have started one rank itself, within a step of Slurm that has more tasks. A batch script and
/// an interactive shell are one process, although the job has more tasks. Needs no MpiSession.
std::string evidence_of_other_ranks();

/// Initializes MPI. Throws RefusedError when it lacks MPI_THREAD_MULTIPLE, and when a launcher that
/// this MPI library does not support has started several ranks, each of them alone. Warns after 30
/// s in which not all ranks have started MPI, and ends the process with exit code 1 after 600 s.
/// The destructor finalizes it, except while an exception unwinds: the driver then reports the
/// error and calls abort_all_ranks.
class MpiSession {
 public:
  MpiSession(int& argc, char**& argv);
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;
  ~MpiSession();

 private:
  int uncaught_;
};

/// Duplicates MPI_COMM_WORLD. Needs a live MpiSession.
std::unique_ptr<Communicator> make_world_communicator();

/// Called by a failing rank before it aborts. Returns true when every rank calls it within
/// `seconds`, so that the job can end in order; always true without MPI. Does not disturb
/// communication in flight.
bool all_ranks_arrive(double seconds);

/// Ends every rank of the job at once with this exit code.
[[noreturn]] void abort_all_ranks(int exit_code);

/// The MPI library's version in one line, such as "Open MPI v4.1.4, ...".
std::string mpi_library_version();

/// This rank's index among the ranks of its node, and their number.
struct NodePlace {
  int rank = 0;
  int ranks = 1;
};
NodePlace node_place(Communicator& world);
/// The ranks of this rank's node (collective call; they must also destroy it together).
std::unique_ptr<Communicator> ranks_of_node(Communicator& world);

/// A node's /dev/shm has no room for what its ranks would share.
class NoSharedMemoryError : public RefusedError {
 public:
  NoSharedMemoryError(const std::string& message, std::uint64_t free_bytes)
      : RefusedError(message), free_bytes_(free_bytes) {}
  [[nodiscard]] std::uint64_t free_bytes() const { return free_bytes_; }

 private:
  std::uint64_t free_bytes_;
};

/// Memory shared by the ranks of a node (/dev/shm), initially zero. All ranks of `world` must
/// create it together; the ranks of a node then see the same bytes. All of it is reserved at once,
/// and nothing of it stays behind, however the processes end.
class NodeSharedMemory {
 public:
  /// Throws NoSharedMemoryError on all ranks if a node has no room.
  NodeSharedMemory(Communicator& world, std::size_t bytes);
  NodeSharedMemory(const NodeSharedMemory&) = delete;
  NodeSharedMemory& operator=(const NodeSharedMemory&) = delete;
  ~NodeSharedMemory();

  [[nodiscard]] std::span<std::byte> bytes() const;
  [[nodiscard]] NodePlace place() const;
  /// Makes what this rank wrote visible to the node's other ranks (collective over the node).
  void synchronize();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace simclr
