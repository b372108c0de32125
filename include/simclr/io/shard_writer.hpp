#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "simclr/io/shard_set.hpp"

namespace simclr {

struct ShardSpec {
  std::string name;
  std::vector<std::string> class_names;
  std::int64_t samples = 0;
  bool labelled = false;
  ImageEncoding encoding = ImageEncoding::raw;
  /// Height and width of every image: stored as `images`. Without it, or encoded: bytes + offsets +
  /// sizes.
  struct Size {
    int height = 0;
    int width = 0;
    bool operator==(const Size&) const = default;
  };
  std::optional<Size> fixed_size;
};

/// Writes one shard, format "simclr-shards" version 1: contiguous datasets, a checksum per block of
/// samples. The bytes of the file depend on the contents only. Nothing appears under the final name
/// before `publish`; a shard that is not published is removed. Errors throw Error naming the file.
class ShardWriter {
 public:
  ShardWriter(std::filesystem::path path, ShardSpec spec);
  ShardWriter(ShardWriter&&) noexcept;
  ShardWriter& operator=(ShardWriter&&) noexcept;
  ~ShardWriter();

  /// The next sample: raw pixels (height, width, 3) or an encoded image. The label is ignored in an
  /// unlabelled set.
  void append(std::span<const std::byte> bytes, int height, int width, std::int64_t label);
  /// After exactly `samples` appends: closes the file and syncs it to the disk.
  void complete();
  /// Gives the completed file its name.
  void publish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// NAME-00003-of-00008.h5
std::string shard_file_name(const std::string& name, std::int64_t shard, std::int64_t shards);

}  // namespace simclr
