#pragma once
// Communicators whose buffers are device memory, over each transport, and what NCCL is asked for
// through its environment.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "device.hpp"
#include "simclr/backend/backend.hpp"

namespace simclr::cuda {

/// Operations are enqueued on the stream of a lane: what the stream holds before them precedes
/// them, what comes later on it finds the result.
class DeviceCommunicator : public Communicator {
 public:
  DeviceCommunicator(std::unique_ptr<Communicator> ranks, Lane lane, Device& device)
      : ranks_(std::move(ranks)), lane_(lane), device_(device) {}

  [[nodiscard]] int rank() const override { return ranks_->rank(); }
  [[nodiscard]] int size() const override { return ranks_->size(); }
  void barrier() override {
    device_.wait(stream());
    ranks_->barrier();
  }
  std::unique_ptr<Communicator> split(int color) override;

  [[nodiscard]] virtual cudaStream_t stream() const = 0;
  /// Whether its operations can be part of a graph; else they wait for the device.
  [[nodiscard]] virtual bool capturable() const = 0;

 protected:
  std::unique_ptr<Communicator> ranks_;
  Lane lane_;
  Device& device_;
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

/// Through page-locked host memory and the transport of `ranks`: works for ranks that share a
/// device. Every operation waits for the device; sums started in the background run in
/// wait_for_all().
std::unique_ptr<Communicator> make_staged_communicator(std::unique_ptr<Communicator> ranks,
                                                       Lane lane, Device& device);

/// NCCL between the ranks of `ranks`, over which it is set up (collective): device to device,
/// capturable.
std::unique_ptr<Communicator> make_nccl_communicator(std::unique_ptr<Communicator> ranks, Lane lane,
                                                     Device& device);

/// Asks for what nccl_communicator.cpp lists; what the environment says already stays. NCCL reads
/// its environment once, so this comes before all calls of it.
void set_nccl_environment();

/// Whether NCCL starts the kernels of different communicators in the order in which the host
/// enqueues them.
bool nccl_keeps_host_order();

/// Where a run is slower, or repeats less exactly, than it could: a sentence each. A driver version
/// of 13000 is 13.0.
std::vector<std::string> nccl_remarks(int driver_version);

/// What to do about a failure that NCCL gives this reason for, after a comma; "" where nothing is
/// known.
std::string nccl_advice(std::string_view reason);

}  // namespace simclr::cuda
