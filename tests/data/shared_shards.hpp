#pragma once

#include <filesystem>
#include <optional>

#include "simclr/comm/communicator.hpp"
#include "support/temporary_directory.hpp"
#include "toy_shards.hpp"

namespace simclr {

/// A directory of toy shards for all ranks. Rank 0 fills it, and removes it after all ranks are
/// done with it.
class SharedShards {
 public:
  SharedShards(Communicator& world, ToyKind kind, std::int64_t samples) : world_(world) {
    if (world.rank() == 0) {
      directory_.emplace();
      write_toy_shards(directory_->path(), kind, samples, 3);
    }
    path_ = broadcast_text(world, directory_ ? directory_->path().string() : "");
  }
  SharedShards(const SharedShards&) = delete;
  SharedShards& operator=(const SharedShards&) = delete;
  ~SharedShards() { world_.barrier(); }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  Communicator& world_;
  std::optional<TemporaryDirectory> directory_;
  std::filesystem::path path_;
};

}  // namespace simclr
