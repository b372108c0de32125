#pragma once
// What `simclr inspect` prints of files that are no shards.

#include <fmt/format.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "simclr/io/checkpoint.hpp"

namespace simclr {

/// Prints a line, escaping control characters: what it tells, and the text.
void inspect_line(std::string_view what, const std::string& text);
template <class... Args>
void inspect_line(std::string_view what, fmt::format_string<Args...> format, Args&&... args) {
  inspect_line(what, fmt::format(format, std::forward<Args>(args)...));
}

/// Reads a checkpoint, which compares all checksums, and checks all that a command may need of it.
FoundCheckpoint verified_checkpoint(const std::filesystem::path& run_or_file);
/// Prints a checkpoint: its model, its tensors, and the options of its run.
void inspect_checkpoint(const std::filesystem::path& run_or_file);

/// Whether a file begins as safetensors do, or is named so.
bool is_safetensors(const std::filesystem::path& file);
/// Prints exported weights: their metadata and their tensors.
void inspect_safetensors(const std::filesystem::path& file);

/// Prints an HDF5 file of arrays, such as features; `what` says what it is.
void inspect_arrays(const std::string& what, const std::filesystem::path& file);

}  // namespace simclr
