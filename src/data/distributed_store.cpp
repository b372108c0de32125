#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "shard_store.hpp"
#include "simclr/comm/exchange.hpp"
#include "simclr/comm/session.hpp"
#include "simclr/core/check.hpp"

namespace simclr {
namespace {

using Clock = std::chrono::steady_clock;

/// MPI moves data only while it is called, some 100 KB each time. The reading thread polls without
/// pauses at first, since most messages arrive at once, and then with short pauses.
constexpr std::chrono::milliseconds kBusyPollTime{20};
constexpr std::chrono::microseconds kPollPause{50};

/// Spreads the set over the ranks' memory: each holds one contiguous part. Every rank knows the
/// samples that all ranks want, so that a fetch needs no requests: each rank sends one message to
/// every rank that wants samples of its part. Messages go directly from the sender's part into the
/// receiver's slot, in the order of the batch.
class DistributedStore final : public ShardStore {
 public:
  DistributedStore(ShardSet set, int threads, Communicator& world)
      : ShardStore(std::move(set)),
        control_(world.duplicate()),
        exchange_(make_exchange(world)),
        memory_(std::make_unique<Memory>()) {
    for (int r = 0; r <= world.size(); ++r) {
      begins_.push_back(part_begin(set_.info().samples, r, world.size()));
    }
    const std::int64_t first = begins_[own()];
    const std::int64_t end = begins_[own() + 1];
    const std::uint64_t bytes = set_.stored_bytes(first, end - first);
    first_byte_ = set_.stored_bytes(0, first);
    memory_->part = std::make_unique_for_overwrite<std::byte[]>(bytes);
    const FirstRead read = read_at_start(set_, world, node_place(world).ranks, threads, first, end,
                                         {memory_->part.get(), bytes});
    count(read.cost);
    description_ = fmt::format("distributed over {} ranks, {}", world.size(), read.text);
  }
  DistributedStore(const DistributedStore&) = delete;
  DistributedStore& operator=(const DistributedStore&) = delete;
  ~DistributedStore() override {
    // After an exception, messages may still be in flight and their memory must outlive them. The
    // leak does not matter, since the process ends soon.
    if (!exchange_->idle()) static_cast<void>(memory_.release());
  }

  [[nodiscard]] FetchGroup group() const override { return {exchange_->rank(), exchange_->size()}; }

  std::vector<StoredImage> fetch_together(const WantedSamples& wanted, int slot,
                                          const std::stop_token& stop) override {
    require(wanted.size() == static_cast<std::size_t>(exchange_->size()),
            "`wanted` must have one list per rank");
    const auto start = Clock::now();
    ReadStatistics cost;
    std::vector<StoredImage> images;
    const std::vector<IncomingMessage> incoming = receive(wanted[own()], slot, images, cost);
    exchange_->start(outgoing(wanted), incoming);
    ++fetches_;
    const bool complete = wait(stop);
    cost.seconds = std::chrono::duration<double>(Clock::now() - start).count();
    count(cost);
    return complete ? images : std::vector<StoredImage>{};
  }

  std::int64_t fetches_behind() override {
    auto furthest = static_cast<double>(fetches_);
    control_->all_reduce({&furthest, 1, DType::f64}, Reduction::max);
    wait({});
    return static_cast<std::int64_t>(furthest) - fetches_;
  }

 private:
  struct Memory {
    std::unique_ptr<std::byte[]> part;
    SlotMemory slots;
  };

  [[nodiscard]] std::size_t own() const { return static_cast<std::size_t>(exchange_->rank()); }
  [[nodiscard]] std::size_t owner(std::int64_t sample) const {
    const auto next = std::upper_bound(begins_.begin(), begins_.end(), sample);
    return static_cast<std::size_t>(next - begins_.begin()) - 1;
  }
  [[nodiscard]] std::span<std::byte> in_part(const ShardSet::Extent& extent) const {
    return {memory_->part.get() + (extent.offset - first_byte_), extent.bytes};
  }

  /// Sets `images` to the places of this rank's samples, in its own part or in the slot, and
  /// returns the messages that fill the slot.
  std::vector<IncomingMessage> receive(const std::vector<std::int64_t>& samples, int slot,
                                       std::vector<StoredImage>& images, ReadStatistics& cost) {
    std::vector<ShardSet::Extent> extents;
    extents.reserve(samples.size());
    for (const std::int64_t sample : samples) {
      extents.push_back(set_.extent(sample));
      if (owner(sample) != own()) cost.bytes_fetched += extents.back().bytes;
    }
    std::byte* free = memory_->slots.reserve(slot, cost.bytes_fetched);
    std::vector<IncomingMessage> from(static_cast<std::size_t>(exchange_->size()));
    for (std::size_t i = 0; i < samples.size(); ++i) {
      const std::size_t rank = owner(samples[i]);
      std::span<std::byte> bytes(free, extents[i].bytes);
      if (rank == own()) {
        bytes = in_part(extents[i]);
      } else {
        from[rank].pieces.emplace_back(bytes);
        free += bytes.size();
      }
      images.push_back(stored_image(extents[i], bytes.data()));
    }
    return non_empty(std::move(from));
  }

  [[nodiscard]] std::vector<OutgoingMessage> outgoing(const WantedSamples& wanted) const {
    std::vector<OutgoingMessage> to(wanted.size());
    for (std::size_t r = 0; r < wanted.size(); ++r) {
      if (r == own()) continue;
      for (const std::int64_t sample : wanted[r]) {
        if (owner(sample) == own()) to[r].pieces.emplace_back(in_part(set_.extent(sample)));
      }
    }
    return non_empty(std::move(to));
  }

  /// Sets the ranks of messages given in rank order and drops the empty ones.
  template <class Message>
  static std::vector<Message> non_empty(std::vector<Message> by_rank) {
    for (std::size_t r = 0; r < by_rank.size(); ++r) by_rank[r].rank = static_cast<int>(r);
    std::erase_if(by_rank, [](const Message& message) { return message.pieces.empty(); });
    return by_rank;
  }

  /// Waits for messages in flight; false when `stop` is requested. Polls, because a blocking MPI
  /// call would hang if another rank has failed.
  bool wait(const std::stop_token& stop) {
    const auto start = Clock::now();
    while (!exchange_->advance()) {
      if (stop.stop_requested()) return false;
      if (Clock::now() - start < kBusyPollTime) {
        std::this_thread::yield();
      } else {
        std::this_thread::sleep_for(kPollPause);
      }
    }
    return true;
  }

  std::unique_ptr<Communicator> control_;  // used by the thread that creates and destroys
  std::unique_ptr<Exchange> exchange_;     // used by the thread that fetches
  std::unique_ptr<Memory> memory_;
  std::vector<std::int64_t> begins_;  // first sample of each rank's part, then the end
  std::uint64_t first_byte_ = 0;      // start of this rank's part in the whole set
  std::int64_t fetches_ = 0;
};

}  // namespace

std::unique_ptr<ShardStore> make_distributed_store(ShardSet set, int threads, Communicator& world) {
  return std::make_unique<DistributedStore>(std::move(set), threads, world);
}

}  // namespace simclr
