#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace simclr {

struct VerifyReport {
  std::uint64_t bytes = 0;             ///< bytes read and compared
  std::int64_t blocks = 0;             ///< number of checksums compared
  std::vector<std::string> unchecked;  ///< datasets without checksums: "FILE: 'labels'"
  std::vector<std::string> problems;   ///< one line each, naming file, dataset and block
};

/// Reads every byte of a shard and compares it with the checksums stored beside it.
VerifyReport verify_shard(const std::filesystem::path& path);

}  // namespace simclr
