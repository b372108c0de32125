#pragma once
// The common base of the stores, and a function that creates each.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "simclr/comm/session.hpp"
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

/// The memory of each fetch slot.
class SlotMemory {
 public:
  /// Returns at least `bytes` of the slot's memory; its contents are lost when it grows.
  std::byte* reserve(int slot, std::uint64_t bytes);

 private:
  struct Block {
    std::unique_ptr<std::byte[]> bytes;
    std::uint64_t capacity = 0;
  };
  std::map<int, Block> blocks_;
};

/// Cost and description of reading a set at start-up: "1.00 GB read at 2.00 GB/s per rank
/// (direct)".
struct FirstRead {
  ReadStatistics cost;
  std::string text;
};
/// Reads this rank's part, samples [first, end). Collective over `world`.
FirstRead read_at_start(const ShardSet& set, Communicator& world, int ranks_of_node, int threads,
                        std::int64_t first, std::int64_t end, std::span<std::byte> out);

/// Number of reading threads: `threads` up to a limit, beyond which the file system only queues.
int reading_threads(int threads);
double gigabytes(std::uint64_t bytes);

/// Rank r's part of a distributed store is the samples [part_begin(r), part_begin(r + 1)).
inline std::int64_t part_begin(std::int64_t samples, std::int64_t rank, std::int64_t ranks) {
  return samples * rank / ranks;
}

/// Splits [0, count) into one contiguous range per thread and calls work(begin, end) on each; the
/// caller's thread takes the first. Rethrows the first exception after all threads have ended.
void parallel_ranges(int threads, std::int64_t count,
                     const std::function<void(std::int64_t begin, std::int64_t end)>& work);

/// `memory` must hold the whole set.
std::unique_ptr<ShardStore> make_node_store(ShardSet set, std::unique_ptr<NodeSharedMemory> memory,
                                            int threads, Communicator& world);
std::unique_ptr<ShardStore> make_distributed_store(ShardSet set, int threads, Communicator& world);
std::unique_ptr<ShardStore> make_streaming_store(ShardSet set, int threads);

}  // namespace simclr
