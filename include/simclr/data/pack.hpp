#pragma once
// Converts images in published formats to shards, in parallel over ranks.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "simclr/comm/communicator.hpp"
#include "simclr/io/shard_set.hpp"

namespace simclr {

enum class PackSource : std::uint8_t {
  folder,     ///< JPEG and PNG files: one folder per class, or all in one folder without labels
  idx,        ///< MNIST and its relatives: images-idx3 and labels-idx1, also .gz
  cifar_bin,  ///< CIFAR-10 and CIFAR-100, binary version
};
enum class PackSplit : std::uint8_t { train, test };

struct PackConfig {
  PackSource source = PackSource::folder;
  std::filesystem::path input;
  std::filesystem::path output;
  std::string name;                    ///< empty: the name of the output directory
  PackSplit split = PackSplit::train;  ///< for idx and cifar_bin, which have both
  /// For idx: these files instead of those found in `input`.
  std::optional<std::filesystem::path> idx_images, idx_labels;
  /// A data set whose numbers the classes get, by name; such as that of a test set's training data.
  std::optional<std::filesystem::path> classes_of;
  std::int64_t shards = 0;        ///< 0: one for each 1,000 samples, at most 8
  std::int64_t resize_short = 0;  ///< pixels of the short side; 0: unchanged
  ImageEncoding encoding = ImageEncoding::raw;
  int jpeg_quality = 95;             ///< for images that must be encoded
  bool force = false;                ///< replace the shards of a non-empty output
  bool skip_damaged = false;         ///< pack without damaged images instead of refusing them
  bool allow_empty_classes = false;  ///< class folders without images keep their numbers
};

struct PackSummary {
  std::int64_t samples = 0;
  std::int64_t left_out = 0;  ///< damaged images
  std::int64_t classes = 0;   ///< 0: no labels
  std::int64_t shards = 0;
  std::optional<std::pair<int, int>> fixed_size;  ///< height, width
};

/// Writes the shards. Samples keep the source's order: classes and files by name, rows as stored.
/// The number of ranks does not change the bytes. Shards appear in `output` only after all are
/// written. Throws RefusedError naming the file, the same on every rank, for bad input. Reads all
/// images before it refuses damaged ones, and lists them in OUTPUT.damaged.txt; with
/// `skip_damaged`, packs the others and lists the damaged ones in damaged.txt beside the shards.
/// Collective.
PackSummary pack(const PackConfig& config, Communicator& world);

}  // namespace simclr
