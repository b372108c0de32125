#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "shard_store.hpp"

namespace simclr {
namespace {

/// Limits of the batches fetched together, and of their memory.
constexpr std::int64_t kLookAheadBatches = 8;
constexpr std::uint64_t kLookAheadBytes = std::uint64_t{256} << 20;

using Clock = std::chrono::steady_clock;

/// Caches nothing: reads the samples of a few batches in stored order, adjacent ones in one
/// request.
class StreamingStore final : public ShardStore {
 public:
  StreamingStore(ShardSet set, int threads)
      : ShardStore(std::move(set)), readers_(reading_threads(threads)) {
    description_ =
        fmt::format("no cache, {:.2f} GB are read batch by batch", gigabytes(total_bytes()));
  }

  std::vector<StoredImage> fetch_together(const WantedSamples& all_wanted, int slot,
                                          const std::stop_token&) override {
    const auto start = Clock::now();
    const std::vector<std::int64_t>& samples = all_wanted.front();
    std::vector<Wanted> wanted(samples.size());
    for (std::size_t i = 0; i < samples.size(); ++i) wanted[i] = {samples[i], i, 0};
    std::sort(wanted.begin(), wanted.end(),
              [](const Wanted& a, const Wanted& b) { return a.sample < b.sample; });

    std::vector<StoredImage> images(samples.size());
    std::uint64_t bytes = 0;
    for (Wanted& one : wanted) {
      const ShardSet::Extent extent = set_.extent(one.sample);
      one.position = bytes;
      bytes += extent.bytes;
      images[one.index] = stored_image(extent, nullptr);
    }
    std::byte* memory = memory_.reserve(slot, bytes);
    for (const Wanted& one : wanted) {
      StoredImage& image = images[one.index];
      image.bytes = {memory + one.position, image.bytes.size()};
    }
    parallel_ranges(readers_, static_cast<std::int64_t>(wanted.size()),
                    [&](std::int64_t first, std::int64_t last) {
                      read_sorted(std::span(wanted).subspan(static_cast<std::size_t>(first),
                                                            static_cast<std::size_t>(last - first)),
                                  memory);
                    });
    const std::chrono::duration<double> seconds = Clock::now() - start;
    count({.seconds = seconds.count(), .bytes_read = bytes});
    return images;
  }

  [[nodiscard]] int batches_per_fetch(std::int64_t batch_samples) const override {
    const std::uint64_t mean_bytes =
        total_bytes() / static_cast<std::uint64_t>(set_.info().samples);
    const auto most = static_cast<std::int64_t>(
        kLookAheadBytes /
        std::max<std::uint64_t>(1, mean_bytes * static_cast<std::uint64_t>(batch_samples)));
    return static_cast<int>(std::clamp<std::int64_t>(most, 1, kLookAheadBatches));
  }

 private:
  /// A sample, its place in the request, and the position of its bytes in the slot.
  struct Wanted {
    std::int64_t sample = 0;
    std::size_t index = 0;
    std::uint64_t position = 0;
  };

  void read_sorted(std::span<const Wanted> wanted, std::byte* memory) const {
    for (std::size_t begin = 0; begin < wanted.size();) {
      std::size_t end = begin + 1;
      while (end < wanted.size() && wanted[end].sample == wanted[end - 1].sample + 1) ++end;
      const auto count = static_cast<std::int64_t>(end - begin);
      const std::int64_t first = wanted[begin].sample;
      set_.read(first, count, {memory + wanted[begin].position, set_.stored_bytes(first, count)});
      begin = end;
    }
  }

  int readers_;
  SlotMemory memory_;
};

}  // namespace

std::unique_ptr<ShardStore> make_streaming_store(ShardSet set, int threads) {
  return std::make_unique<StreamingStore>(std::move(set), threads);
}

}  // namespace simclr
