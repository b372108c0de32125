#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "simclr/io/shard_set.hpp"

namespace simclr {

struct ShardSpec {
  std::string name;
  std::vector<std::string> class_names;
  std::int64_t samples = 0;
  bool labeled = false;
  bool named = false;  ///< stores the samples' names
  ImageEncoding encoding = ImageEncoding::raw;
  /// Size in pixels.
  struct Size {
    int height = 0;
    int width = 0;
    bool operator==(const Size&) const = default;
  };
  /// Size of every image. Raw images of one size are stored as `images`, all others as bytes +
  /// offsets + sizes.
  std::optional<Size> fixed_size;
};

/// Writes one shard, format "simclr-shards" version 1: contiguous datasets, a checksum per block of
/// samples. Equal contents give equal files. The file has a temporary name until `publish`; the
/// destructor deletes an unpublished one. Errors throw Error naming the file.
class ShardWriter {
 public:
  ShardWriter(std::filesystem::path path, ShardSpec spec);
  ShardWriter(ShardWriter&&) noexcept;
  ShardWriter& operator=(ShardWriter&&) noexcept;
  ~ShardWriter();

  /// Appends a sample: raw pixels (height, width, 3) or an encoded image. `label` is ignored when
  /// the shard has no labels, `name` when it has no names.
  void append(std::span<const std::byte> bytes, int height, int width, std::int64_t label,
              std::string_view name = {});
  /// Closes the file and syncs it to disk. Exactly `samples` samples must have been appended.
  void complete();
  /// Renames the completed file to its final name.
  void publish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Throws RefusedError when class names are more or longer than what is read of a shard.
void require_storable(const std::vector<std::string>& class_names);

/// The NAME of a file name that shard_file_name() gives; empty for others.
std::optional<std::string> set_of_shard(const std::string& file);

/// Returns NAME-00003-of-00008.h5.
std::string shard_file_name(const std::string& name, std::int64_t shard, std::int64_t shards);

}  // namespace simclr
