#pragma once
// Images as they are published -> shards, in parallel over ranks.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "simclr/comm/communicator.hpp"
#include "simclr/io/shard_set.hpp"

namespace simclr {

enum class PackSource : std::uint8_t {
  folder,     ///< JPEG and PNG files, a folder a class or all in one (then unlabelled)
  idx,        ///< MNIST and its relatives: images-idx3 and labels-idx1, also .gz
  cifar_bin,  ///< CIFAR-10 and CIFAR-100, binary version
};
enum class PackSplit : std::uint8_t { train, test };

struct PackConfig {
  PackSource source = PackSource::folder;
  std::filesystem::path input;
  std::filesystem::path output;
  std::string name;                    ///< empty: the output directory's
  PackSplit split = PackSplit::train;  ///< idx and cifar_bin hold both
  /// idx: these files instead of those found in `input`.
  std::optional<std::filesystem::path> idx_images, idx_labels;
  std::int64_t shards = 0;        ///< 0: 8, or fewer for fewer samples
  std::int64_t resize_short = 0;  ///< pixels of the short side; 0: as they are
  ImageEncoding encoding = ImageEncoding::raw;
  int jpeg_quality = 95;  ///< where images must be encoded anew
  bool force = false;     ///< replace the shards of a non-empty output
};

struct PackSummary {
  std::int64_t samples = 0;
  std::int64_t classes = 0;  ///< 0: unlabelled
  std::int64_t shards = 0;
  std::optional<std::pair<int, int>> fixed_size;  ///< height, width
};

/// Samples keep the source's order: classes and files by name, rows as stored. Which rank writes a
/// shard changes no byte of it. Nothing appears in `output` unless everything was written.
/// Throws RefusedError, the same on every rank, for bad input; it names the file. Collective.
PackSummary pack(const PackConfig& config, Communicator& world);

}  // namespace simclr
