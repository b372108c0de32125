#pragma once

#include <memory>

#include "communication.hpp"

namespace simclr::cuda {

/// Through page-locked host memory and the transport of `ranks`: works for ranks that share a
/// device. Every operation waits for the device; sums started in the background run in
/// wait_for_all().
std::unique_ptr<Communicator> make_staged_communicator(std::unique_ptr<Communicator> ranks,
                                                       Lane lane, Device& device);

}  // namespace simclr::cuda
