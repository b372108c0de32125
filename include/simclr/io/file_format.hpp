#pragma once

#include <filesystem>
#include <string>

namespace simclr {

/// The `format` attribute of an HDF5 file: "simclr-shards", "simclr-checkpoint", or "" when it has
/// none. Throws RefusedError when the file is no HDF5 file.
std::string hdf5_file_format(const std::filesystem::path& path);

}  // namespace simclr
