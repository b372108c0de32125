#pragma once
// Communicators whose buffers are device memory.

#include <memory>
#include <string>
#include <vector>

#include "device.hpp"
#include "simclr/backend/backend.hpp"

namespace simclr::cuda {

/// Operations are enqueued on the stream of a lane: what the stream holds before them precedes
/// them, what comes later on it finds the result.
class DeviceCommunicator : public Communicator {
 public:
  [[nodiscard]] virtual cudaStream_t stream() const = 0;
  /// Whether its operations can be part of a graph; else they wait for the device.
  [[nodiscard]] virtual bool capturable() const = 0;
};

/// Over the ranks of `ranks` (collective), on the stream of `lane`: NCCL, or through host memory
/// over MPI (CudaOptions::collectives). One rank alone communicates with nobody and gets the self
/// communicator. Graphs that hold its operations must be gone before the communicator is, and the
/// communicator before the device.
std::unique_ptr<Communicator> make_communicator(Communicator& ranks, Lane lane, Device& device);

/// Where a rank computes.
struct RankPlace {
  std::string host;          ///< its name, for people
  std::string machine;       ///< equal for ranks on one machine
  std::string device;        ///< PCI bus id
  std::string nccl_host_id;  ///< NCCL_HOSTID, by which NCCL then tells hosts apart; "" without
};
/// "ranks 0 and 2 on device 0000:17:00.0 of host n1" for the first device with several ranks; ""
/// when each rank has its own.
std::string shared_device(const std::vector<RankPlace>& places);
/// What ranks at these places use: never `automatic`. Throws RefusedError for NCCL between ranks on
/// one device, which it does not support, but where share_device was given and each of them has
/// been made to look like a host of its own (NCCL_HOSTID).
Collectives choose_collectives(const CudaOptions& options, const std::vector<RankPlace>& places);

}  // namespace simclr::cuda
