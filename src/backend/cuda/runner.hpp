#pragma once

#include <memory>
#include <vector>

#include "device.hpp"
#include "simclr/backend/backend.hpp"

namespace simclr::cuda {

/// Runs steps on the device's compute lane.
std::unique_ptr<Runner> make_runner(std::vector<std::unique_ptr<Step>> steps, Device& device);

}  // namespace simclr::cuda
