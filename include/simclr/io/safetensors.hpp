#pragma once
// The safetensors container: 8 bytes of header length (little endian), a JSON header, raw tensors.
// Format: https://huggingface.co/docs/safetensors.

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace simclr {

/// A named f32 tensor in row-major order.
struct SafeTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

struct SafeTensors {
  std::map<std::string, std::string> metadata;
  std::vector<SafeTensor> tensors;  ///< in file order
};

/// Writes atomically: a temporary name in the same directory, synced, renamed. Throws Error naming
/// the file; then nothing is left behind and an older file of that name is intact.
void write_safetensors(const std::filesystem::path& file, const SafeTensors& content);

/// Reads a file of f32 tensors; RefusedError naming the file where it is none, is cut short, or
/// holds another dtype.
SafeTensors read_safetensors(const std::filesystem::path& file);

}  // namespace simclr
