#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "simclr/data/pack.hpp"

namespace simclr {

/// The directory that `pack` writes to. Its functions are for rank 0, apart from names.
class OutputDirectory {
 public:
  /// Throws RefusedError when the name of the data set cannot begin the names of its shards.
  explicit OutputDirectory(const PackConfig& config);

  /// Name of the data set.
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::filesystem::path shard(std::int64_t shard, std::int64_t shards) const;
  /// The list of damaged samples that are refused: beside the directory.
  [[nodiscard]] std::filesystem::path list_beside() const;
  /// The list of the samples that were left out: beside the shards.
  [[nodiscard]] std::filesystem::path list_inside() const;

  /// Creates the directory and deletes what killed writers have left in it. Throws RefusedError
  /// when it holds anything and --force is not given, and when it holds HDF5 files that are not
  /// shards of one set that an earlier call wrote: of this name, or else of another one.
  void prepare();
  /// Deletes the shards that prepare() has found, and their list.
  void remove_old_files() const;
  /// Deletes the directory if prepare() has created it and it is empty.
  void remove_if_new() const;

 private:
  void choose_old_shards(const std::vector<std::filesystem::path>& shards);

  const PackConfig& config_;
  std::filesystem::path path_;  ///< absolute, without a slash at its end
  std::string name_;
  std::vector<std::filesystem::path> old_shards_;  ///< to be replaced
  bool is_new_ = false;
};

}  // namespace simclr
