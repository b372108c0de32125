#pragma once
// The MPI session of the process. MPI types stay inside src/comm and src/io.

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "simclr/comm/communicator.hpp"

namespace simclr {

/// Initialises MPI (MPI_THREAD_MULTIPLE, refused otherwise) and finalises it, unless an exception
/// is unwinding: then the driver reports and calls abort_all_ranks.
class MpiSession {
 public:
  MpiSession(int& argc, char**& argv);
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;
  ~MpiSession();

 private:
  int uncaught_;
};

/// A duplicate of MPI_COMM_WORLD. Needs a live MpiSession.
std::unique_ptr<Communicator> make_world_communicator();

/// A failing rank's question before it gives up: do all the others fail as well? True when every
/// rank asks within `seconds` (and always without MPI); disturbs no communication that is under
/// way.
bool all_ranks_arrive(double seconds);

/// Ends every rank of the job at once with this exit code.
[[noreturn]] void abort_all_ranks(int exit_code);

/// "Open MPI v4.1.4, ..."; one line.
std::string mpi_library_version();

/// Ranks that share this node's memory, and this rank's place among them.
struct NodePlace {
  int rank = 0;
  int ranks = 1;
};
NodePlace node_place(Communicator& world);

/// Memory shared by the ranks of a node (MPI shared-memory window). Created collectively by all
/// ranks of `world`; every rank of a node sees the same bytes. The first rank of a node owns it.
class NodeSharedMemory {
 public:
  NodeSharedMemory(Communicator& world, std::size_t bytes);
  NodeSharedMemory(const NodeSharedMemory&) = delete;
  NodeSharedMemory& operator=(const NodeSharedMemory&) = delete;
  ~NodeSharedMemory();

  [[nodiscard]] std::span<std::byte> bytes() const;
  [[nodiscard]] NodePlace place() const;
  /// Makes what this rank wrote visible to the node's other ranks (collective over the node).
  void synchronise();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace simclr
