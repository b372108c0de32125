#pragma once
// Communicators whose buffers are device memory.

#include <memory>

#include "device.hpp"
#include "simclr/backend/backend.hpp"

namespace simclr::cuda {

/// Over the ranks of `ranks` (collective), on the stream of `lane`: NCCL, or through host memory
/// over MPI (CudaOptions::collectives). One rank alone communicates with nobody.
std::unique_ptr<Communicator> make_communicator(Communicator& ranks, Lane lane, Device& device);

}  // namespace simclr::cuda
