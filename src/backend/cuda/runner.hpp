#pragma once

#include <memory>
#include <string>
#include <vector>

#include "device.hpp"
#include "simclr/backend/backend.hpp"

namespace simclr::cuda {

/// Runs steps on the device's compute lane, from graphs where a range comes again.
std::unique_ptr<Runner> make_runner(std::vector<Prepared> steps, std::vector<std::string> names,
                                    Workspace workspace, Device& device);

}  // namespace simclr::cuda
