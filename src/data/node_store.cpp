#include <fmt/format.h>

#include "shard_store.hpp"
#include "simclr/comm/session.hpp"

namespace simclr {
namespace {

/// Keeps the whole set in memory shared by the ranks of a node; each rank reads a part of it.
class NodeStore final : public ShardStore {
 public:
  NodeStore(ShardSet set, std::unique_ptr<NodeSharedMemory> memory, int threads,
            Communicator& world)
      : ShardStore(std::move(set)), memory_(std::move(memory)) {
    const NodePlace place = memory_->place();
    const std::int64_t samples = set_.info().samples;
    const std::int64_t first = part_begin(samples, place.rank, place.ranks);
    const std::int64_t end = part_begin(samples, place.rank + 1, place.ranks);
    const std::span<std::byte> part = memory_->bytes().subspan(
        set_.stored_bytes(0, first), set_.stored_bytes(first, end - first));
    const FirstRead read = read_at_start(set_, world, place.ranks, threads, first, end, part);
    memory_->synchronize();
    count(read.cost);
    description_ = "node cache, " + read.text;
  }

  std::vector<StoredImage> fetch_together(const WantedSamples& wanted, int,
                                          const std::stop_token&) override {
    std::vector<StoredImage> images;
    images.reserve(wanted.front().size());
    for (const std::int64_t sample : wanted.front()) {
      const ShardSet::Extent extent = set_.extent(sample);
      images.push_back(stored_image(extent, memory_->bytes().data() + extent.offset));
    }
    return images;
  }

 private:
  std::unique_ptr<NodeSharedMemory> memory_;
};

}  // namespace

std::unique_ptr<ShardStore> make_node_store(ShardSet set, std::unique_ptr<NodeSharedMemory> memory,
                                            int threads, Communicator& world) {
  return std::make_unique<NodeStore>(std::move(set), std::move(memory), threads, world);
}

}  // namespace simclr
