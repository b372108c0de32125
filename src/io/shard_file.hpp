#pragma once
// One shard: its description and the position of its bytes in the file.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "hdf5.hpp"
#include "simclr/core/system.hpp"
#include "simclr/io/shard_set.hpp"

namespace simclr {

/// Names in a shard, format "simclr-shards", version 1.
struct ShardFormat {
  static constexpr const char* kFormat = "simclr-shards";
  static constexpr std::int64_t kVersion = 1;
  static constexpr const char* kChecksum = "xxh3";  ///< attribute of every dataset, 64-bit words
  static constexpr const char* kChecksumBlock = "xxh3_block_samples";
};

/// A shard's description, read and checked once. Throws RefusedError naming the file.
struct ShardDescription {
  std::filesystem::path path;
  std::string name;
  std::vector<std::string> class_names;
  std::int64_t samples = 0;
  bool fixed_size = true;
  int height = 0, width = 0;  ///< largest when not fixed_size
  ImageEncoding encoding = ImageEncoding::raw;
  std::vector<std::uint64_t> offsets;  ///< N+1, only when not fixed_size
  std::vector<std::int32_t> sizes;     ///< (N, 2): height, width; only when not fixed_size
  std::optional<std::vector<std::int64_t>> labels;  ///< negative: unlabeled
  /// The checksums stored for blocks of the pixels, if there are any.
  struct Checksums {
    std::int64_t block_samples = 0;
    std::uint64_t hash = 0;  ///< of all of them
  };
  std::optional<Checksums> checksums;
  /// Position in the file of the first pixel byte; empty for chunked or filtered datasets.
  std::optional<std::uint64_t> file_offset;

  [[nodiscard]] const char* pixels_name() const { return fixed_size ? "images" : "bytes"; }
  [[nodiscard]] std::uint64_t byte_offset(std::int64_t sample) const {
    return fixed_size ? static_cast<std::uint64_t>(sample) * static_cast<std::uint64_t>(height) *
                            static_cast<std::uint64_t>(width) * 3u
                      : offsets[static_cast<std::size_t>(sample)];
  }
};
ShardDescription describe_shard(const std::filesystem::path& path);

/// Reads a shard's pixels: contiguous datasets with plain reads from any thread, others through
/// HDF5, one thread at a time. Retries after transient errors (io/retry.hpp), then throws IoError
/// naming the file.
class ShardReader {
 public:
  explicit ShardReader(const ShardDescription& shard);

  void read(std::int64_t first, std::int64_t count, std::span<std::byte> out) const;

 private:
  const ShardDescription* shard_;
  Descriptor descriptor_;
  h5::Handle file_, dataset_;
};

}  // namespace simclr
