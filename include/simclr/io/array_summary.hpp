#pragma once
// What is in an HDF5 file of named arrays, such as features, predictions and views.

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace simclr {

struct ArraySummary {
  /// Those that this program writes into such files: text, or a whole number as text.
  std::vector<std::pair<std::string, std::string>> attributes;
  /// The datasets of the root group, in the order of their names, and their extents.
  std::vector<std::pair<std::string, std::vector<std::int64_t>>> arrays;
};

/// Reads no values. Throws RefusedError naming the file when it is missing, damaged or not HDF5, or
/// when it has more than a hundred datasets.
ArraySummary summarize_arrays(const std::filesystem::path& file);

}  // namespace simclr
