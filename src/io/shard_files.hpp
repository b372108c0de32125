#pragma once

#include <filesystem>
#include <vector>

namespace simclr {

/// Returns the files of a data set in the order of their names: the file itself, or the shards
/// (*.h5, *.hdf5, in small or capital letters) of a directory. Logs which folders beside them are
/// left out. Throws RefusedError naming the files when they are not one complete data set: shards
/// of a set that are missing, files beside a set, files that are named like its parts for training,
/// validation and test.
std::vector<std::filesystem::path> find_shards(const std::filesystem::path& path);

}  // namespace simclr
