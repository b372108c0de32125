#pragma once
// A data set: a directory of HDF5 shards (format "simclr-shards", version 1).

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "simclr/comm/communicator.hpp"
#include "simclr/io/sample_names.hpp"

namespace simclr {

/// Marks of a multi-label sample for a class.
inline constexpr std::uint8_t kAbsent = 0;
inline constexpr std::uint8_t kPresent = 1;
inline constexpr std::uint8_t kIgnored = 255;  ///< such as "difficult" in PASCAL VOC

enum class ImageEncoding : std::uint8_t { raw, jpeg };

/// True for files that readers of a directory take: *.h5 and *.hdf5 in small or capital letters.
bool has_shard_extension(const std::filesystem::path& path);

struct ShardSetInfo {
  std::filesystem::path path;  ///< of the directory or the one shard
  std::string name;
  std::int64_t samples = 0;
  bool fixed_size = true;  ///< stored as `images` (N,H,W,3); otherwise as bytes + offsets + sizes
  int height = 0;          ///< of every image when fixed_size, else the largest
  int width = 0;
  ImageEncoding encoding = ImageEncoding::raw;
  bool labeled = false;              ///< has labels, if only for some samples
  std::int64_t labeled_samples = 0;  ///< those whose label is not negative
  bool named = false;                ///< has names of its samples; see ShardSet::names()
  std::int64_t classes = 0;          ///< largest label + 1, or the number of class names
  /// K of a multi-label set, whose `labels` are a matrix (N, K); else 0. Such a set counts as
  /// unlabeled: it has a mark for each class instead of one label.
  std::int64_t mark_columns = 0;
  std::vector<std::string> class_names;
  std::vector<std::filesystem::path> shards;  ///< in name order
  std::vector<std::int64_t> first_sample;     ///< global index of each shard's first row

  /// "3 shards: a.h5, b.h5, c.h5"; with many shards, the first names.
  [[nodiscard]] std::string shard_names() const;
  /// "photos/a.h5: sample 5 of 'photos'", for messages about a sample.
  [[nodiscard]] std::string place_of(std::int64_t sample) const;
};

/// An open, read-only shard set. Opening checks every shard's shape against the others and the file
/// sizes, and throws RefusedError naming the file. Copies stand for the same open set. Any thread
/// may read.
class ShardSet {
 public:
  explicit ShardSet(const std::filesystem::path& directory);
  /// The same on all ranks of a node, which look at the shards together (io/first_look.hpp). A rank
  /// on which that fails throws, the others do not. Collective over `node`.
  static ShardSet open_on_node(const std::filesystem::path& directory, Communicator& node);

  [[nodiscard]] const ShardSetInfo& info() const;

  /// Stored size of samples [first, first+count).
  [[nodiscard]] std::uint64_t stored_bytes(std::int64_t first, std::int64_t count) const;
  /// Reads samples [first, first+count) as stored, back to back, with one request per shard.
  void read(std::int64_t first, std::int64_t count, std::span<std::byte> out) const;
  /// A sample's bytes within the concatenation of all shards, and its size in pixels.
  struct Extent {
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
    int height = 0;
    int width = 0;
  };
  [[nodiscard]] Extent extent(std::int64_t sample) const;
  /// A sample's position in its file; empty when the dataset is chunked or compressed.
  struct FilePosition {
    std::filesystem::path file;
    std::uint64_t offset = 0;
  };
  [[nodiscard]] std::optional<FilePosition> file_position(std::int64_t sample) const;
  /// Offset of a shard's first sample in its `bytes` (not 0 only in files of other programs).
  [[nodiscard]] std::uint64_t first_stored_byte(std::size_t shard) const;
  /// What is stored of the pixels' checksums: the number of samples of each shard and of its
  /// blocks, and a hash of each shard's checksums. Empty if a shard has none.
  struct StoredChecksums {
    std::vector<std::int64_t> division;
    std::vector<std::uint64_t> hashes;
  };
  [[nodiscard]] StoredChecksums stored_checksums() const;
  /// Labels of the whole set, negative for unlabeled samples; empty when it has none.
  [[nodiscard]] const std::vector<std::int64_t>& labels() const;
  /// Names of all samples; empty when the set has none. The first call reads them, which takes 20
  /// to 60 bytes of memory a sample. Throws RefusedError naming the shard whose names are damaged.
  [[nodiscard]] const SampleNames& names() const;
  /// kAbsent, kPresent or kIgnored of each sample for each class, (samples, mark_columns) of the
  /// whole set; empty unless it is multi-label.
  [[nodiscard]] const std::vector<std::uint8_t>& marks() const;

 private:
  struct Impl;
  ShardSet(const std::filesystem::path& directory,
           const std::vector<std::filesystem::path>& shards);
  std::shared_ptr<Impl> impl_;
};

/// How the ranks read a data set into memory at start-up.
enum class ParallelRead : std::uint8_t {
  direct,       ///< plain reads by each rank, bypassing HDF5 for contiguous datasets
  independent,  ///< HDF5 over MPI-IO, independent requests
  collective,   ///< HDF5 over MPI-IO, requests merged and spread over a few ranks
};
std::string_view name_of(ParallelRead method);

/// Reads this rank's samples [first, first + count) as ShardSet::read does. All ranks of the job
/// must call it. `independent` and `collective` need MPI, and `world` must span MPI_COMM_WORLD.
void read_in_parallel(const ShardSet& set, Communicator& world, ParallelRead method,
                      std::int64_t first, std::int64_t count, std::span<std::byte> out);

struct VerifyReport {
  std::uint64_t bytes = 0;             ///< bytes read and compared
  std::int64_t blocks = 0;             ///< number of checksums compared
  std::uint64_t unchecked_bytes = 0;   ///< bytes read that have no checksum
  std::int64_t decoded = 0;            ///< encoded images decoded without error
  std::vector<std::string> unchecked;  ///< datasets without checksums: "FILE: 'labels'"
  std::vector<std::string> problems;   ///< one line each, naming file, dataset and block
};

/// Reads every byte of a shard that can be read and compares it with the checksums stored beside
/// it. Decodes encoded images that no checksum vouches for.
VerifyReport verify_shard(const std::filesystem::path& path);

}  // namespace simclr
