#pragma once

#include <memory>

#include "communication.hpp"

namespace simclr::cuda {

/// NCCL between the ranks of `ranks`, over which it is set up (collective): device to device,
/// capturable.
std::unique_ptr<Communicator> make_nccl_communicator(std::unique_ptr<Communicator> ranks, Lane lane,
                                                     Device& device);

}  // namespace simclr::cuda
