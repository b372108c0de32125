#pragma once

#include <filesystem>
#include <string>

namespace simclr {

/// Reads the `format` attribute of an HDF5 file: "simclr-shards", "simclr-checkpoint", or "" when
/// it has none. Throws RefusedError when the file is not HDF5.
std::string hdf5_file_format(const std::filesystem::path& path);

}  // namespace simclr
