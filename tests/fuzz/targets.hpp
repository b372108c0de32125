#pragma once
// The formats that the program reads, each with valid files and the code that reads it.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "mutate.hpp"

namespace simclr::fuzz {

struct Target {
  std::string name;
  std::int64_t inputs = 0;  ///< inputs of a long run
  /// Makes valid files; `scratch` is an empty directory.
  Corpus (*corpus)(const std::filesystem::path& scratch);
  /// Reads bytes as the program reads the format. Throws Error for bytes that are refused; any
  /// other exception is a bug.
  void (*read)(const std::string& bytes, const std::filesystem::path& scratch);
  /// Repairs checksums that would hide what lies behind them; may be null.
  void (*repair)(std::string& bytes) = nullptr;
};

/// Numbers of inputs for code in this process, and for HDF5, which takes a process for each.
inline constexpr std::int64_t kManyInputs = 1'000'000;
inline constexpr std::int64_t kFewInputs = 100'000;

std::vector<Target> image_targets();
std::vector<Target> hdf5_targets();
std::vector<Target> text_targets();

/// Writes a file in `scratch`, and reads one.
std::filesystem::path write_bytes(const std::filesystem::path& file, const std::string& bytes);
std::string read_bytes(const std::filesystem::path& file);

}  // namespace simclr::fuzz
