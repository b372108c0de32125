#pragma once
// The safetensors container: 8 bytes of header length (little endian), a JSON header, raw tensors.
// Format: https://huggingface.co/docs/safetensors.

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "simclr/tensor/named_tensor.hpp"

namespace simclr {

struct SafeTensors {
  std::map<std::string, std::string> metadata;
  std::vector<NamedTensor> tensors;  ///< in file order
};

/// Writes atomically (io/atomic_file.hpp). Throws Error naming the file; an older file of that name
/// then stays intact.
void write_safetensors(const std::filesystem::path& file, const SafeTensors& content);

/// Reads a file of f32 tensors. Throws RefusedError naming the file when it is not safetensors, is
/// truncated, or holds another dtype.
SafeTensors read_safetensors(const std::filesystem::path& file);

}  // namespace simclr
