#pragma once
// One shard: its description and the position of its bytes in the file.

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <queue>
#include <span>
#include <string>
#include <vector>

#include "hdf5.hpp"
#include "simclr/comm/communicator.hpp"
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

/// Length of a file, and seconds and nanoseconds of its last change. Throws IoError.
using FileState = std::array<std::int64_t, 3>;
FileState file_state(const std::filesystem::path& path);

/// A shard's description, read and checked once. Throws RefusedError naming the file.
struct ShardDescription {
  std::filesystem::path path;
  FileState state{};  ///< when it was read
  std::string name;
  std::vector<std::string> class_names;
  std::int64_t samples = 0;
  bool fixed_size = true;
  int height = 0, width = 0;  ///< largest when not fixed_size
  ImageEncoding encoding = ImageEncoding::raw;
  std::vector<std::uint64_t> offsets;  ///< N+1, only when not fixed_size
  std::vector<std::int32_t> sizes;     ///< (N, 2): height, width; only when not fixed_size
  std::optional<std::vector<std::int64_t>> labels;  ///< negative: unlabeled
  bool named = false;                               ///< has names; see read_shard_names()
  std::vector<std::uint8_t> marks;                  ///< (N, mark_columns), see ShardSet::marks()
  std::int64_t mark_columns = 0;
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

/// Reads and checks the names of a shard that has some. Throws RefusedError naming the file.
SampleNames read_shard_names(const ShardDescription& shard);

/// Fails if a shard is no longer the file that was described.
void require_unchanged(const ShardDescription& shard);

/// Looks at shards together with the other ranks of the node, see look_first_together().
void look_at_shards(const std::vector<std::filesystem::path>& paths, Communicator& node);

/// Reads the pixels of a set's shards: contiguous datasets with plain reads, others through HDF5,
/// one thread at a time. Opens a shard when it is first read, and keeps a few open. Retries after
/// transient errors (io/retry.hpp), then throws IoError naming the file. Any thread may read.
class ShardReader {
 public:
  /// `shards` must stay as it is.
  ShardReader(const std::vector<ShardDescription>& shards, std::size_t most_open);

  /// Reads samples [first, first + count) of a shard.
  void read(std::size_t shard, std::int64_t first, std::int64_t count, std::span<std::byte> out);

 private:
  struct OpenShard {
    Descriptor descriptor;     // of contiguous datasets
    h5::Handle file, dataset;  // of others
  };
  [[nodiscard]] static std::shared_ptr<const OpenShard> open(const ShardDescription& shard);
  [[nodiscard]] std::shared_ptr<const OpenShard> opened(std::size_t shard);

  const std::vector<ShardDescription>& shards_;
  std::size_t most_open_;
  std::mutex mutex_;
  std::vector<std::shared_ptr<const OpenShard>> open_;  // one for each shard; empty if not open
  std::queue<std::size_t> order_;                       // open shards; the next to close first
};

/// How many of `wanted` files a process may keep open that has `used` descriptors and may have
/// `limit`: a quarter of what is left, because other sets and connections take more; at least one.
std::size_t most_open_files(std::size_t wanted, std::size_t used, std::size_t limit);
/// The same for this process now. Raises its own limit, as far as it may, if that is too low.
std::size_t allow_open_files(std::size_t wanted);

}  // namespace simclr
