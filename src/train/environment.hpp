#pragma once

#include <filesystem>
#include <string>

#include "simclr/comm/communicator.hpp"
#include "simclr/train/pretrain.hpp"

namespace simclr {

/// Writes DIRECTORY/environment.json on rank 0: build, libraries, and each rank's host and device.
/// Collective.
void write_environment(const std::filesystem::path& directory, const BuildInfo& build,
                       const std::string& device, int threads, Communicator& world);

}  // namespace simclr
