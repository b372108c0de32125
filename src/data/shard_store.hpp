#pragma once
// What the stores have in common, and one maker for each.

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "simclr/data/loader.hpp"

namespace simclr {

/// Open shards and the cost of fetching from them.
class ShardStore : public SampleStore {
 public:
  explicit ShardStore(ShardSet set) : set_(std::move(set)) {}

  [[nodiscard]] const ShardSetInfo& info() const override { return set_.info(); }
  [[nodiscard]] const std::vector<std::int64_t>& labels() const override { return set_.labels(); }
  [[nodiscard]] FetchGroup group() const override { return {}; }
  std::int64_t fetches_behind() override { return 0; }
  [[nodiscard]] int batches_per_fetch(std::int64_t) const override { return 1; }
  ReadStatistics take_read_statistics() override;
  [[nodiscard]] std::string description() const override { return description_; }
  void add_to_description(const std::string& reason) { description_ += "; " + reason; }

 protected:
  void count(const ReadStatistics& cost);
  [[nodiscard]] StoredImage stored_image(const ShardSet::Extent& extent,
                                         const std::byte* at) const {
    return {std::span(at, extent.bytes), extent.height, extent.width, set_.info().encoding};
  }
  [[nodiscard]] std::uint64_t total_bytes() const {
    return set_.stored_bytes(0, set_.info().samples);
  }

  ShardSet set_;
  std::string description_;

 private:
  std::mutex mutex_;
  ReadStatistics statistics_;
};

/// Memory of a fetch slot: it grows, and what it held is lost then.
class SlotMemory {
 public:
  std::byte* reserve(int slot, std::uint64_t bytes);

 private:
  struct Block {
    std::unique_ptr<std::byte[]> bytes;
    std::uint64_t capacity = 0;
  };
  std::map<int, Block> blocks_;
};

/// Reads samples [first, end), this rank's part of what all ranks read when a store is made, and
/// says how that went: "1.00 GB read at 2.00 GB/s a rank (direct)". Collective over `world`.
struct FirstRead {
  ReadStatistics cost;
  std::string text;
};
FirstRead read_at_start(const ShardSet& set, Communicator& world, int ranks_of_node, int threads,
                        std::int64_t first, std::int64_t end, std::span<std::byte> out);

/// Threads that read at the same time: more only make the file system's queue longer.
int reading_threads(int threads);
double gigabytes(std::uint64_t bytes);

/// Samples [part_begin(r), part_begin(r + 1)) are rank r's in a distributed store.
inline std::int64_t part_begin(std::int64_t samples, std::int64_t rank, std::int64_t ranks) {
  return samples * rank / ranks;
}

std::unique_ptr<ShardStore> make_node_store(ShardSet set, int threads, Communicator& world);
std::unique_ptr<ShardStore> make_distributed_store(ShardSet set, int threads, Communicator& world);
std::unique_ptr<ShardStore> make_streaming_store(ShardSet set, int threads);

}  // namespace simclr
