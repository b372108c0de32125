#pragma once
// The communicators over each transport, and what NCCL is asked for through its environment.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "communication.hpp"

namespace simclr::cuda {

/// Through page-locked host memory and the transport of `ranks`: works for ranks that share a
/// device. Every operation waits for the device; sums started in the background run in
/// wait_for_all().
std::unique_ptr<Communicator> make_staged_communicator(std::unique_ptr<Communicator> ranks,
                                                       Lane lane, Device& device);

/// NCCL between the ranks of `ranks`, over which it is set up (collective): device to device,
/// capturable.
std::unique_ptr<Communicator> make_nccl_communicator(std::unique_ptr<Communicator> ranks, Lane lane,
                                                     Device& device);

/// Asks for what nccl_environment.cpp lists; what the environment says already stays. NCCL reads
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
