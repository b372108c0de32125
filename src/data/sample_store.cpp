#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

#include "memory_budget.hpp"
#include "parallel.hpp"
#include "simclr/comm/session.hpp"
#include "simclr/core/check.hpp"
#include "simclr/data/loader.hpp"
#include "simclr/data/resident_images.hpp"
#include "simclr/io/parallel_read.hpp"

namespace simclr {
namespace {

/// One request to the file system: large enough for a parallel one, small enough to share out.
constexpr std::uint64_t kReadBytes = std::uint64_t{32} << 20;
/// `none`: batches fetched together, and the most memory they may take.
constexpr std::int64_t kLookAheadBatches = 8;
constexpr std::uint64_t kLookAheadBytes = std::uint64_t{256} << 20;
/// Threads that read at the same time: more only make the file system's queue longer.
constexpr int kMostReaders = 8;

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double gigabytes(std::uint64_t bytes) { return static_cast<double>(bytes) * 1e-9; }

/// What both stores have: the open shards and the cost of reading them.
class ShardStore : public SampleStore {
 public:
  ShardStore(ShardSet set, int threads)
      : set_(std::move(set)), readers_(std::clamp(threads, 1, kMostReaders)) {}

  [[nodiscard]] const ShardSetInfo& info() const override { return set_.info(); }
  [[nodiscard]] const std::vector<std::int64_t>& labels() const override { return set_.labels(); }
  ReadStatistics take_read_statistics() override { return std::exchange(statistics_, {}); }

 protected:
  [[nodiscard]] StoredImage stored_image(const ShardSet::Extent& extent,
                                         const std::byte* at) const {
    return {std::span(at, extent.bytes), extent.height, extent.width, set_.info().encoding};
  }

  ShardSet set_;
  int readers_;
  ReadStatistics statistics_;
};

/// The whole set in memory that the ranks of a node share; each reads a part of it.
class NodeStore : public ShardStore {
 public:
  NodeStore(ShardSet set, int threads, Communicator& world)
      : ShardStore(std::move(set), threads),
        memory_(world, set_.stored_bytes(0, set_.info().samples)) {
    const auto start = Clock::now();
    const NodePlace place = memory_.place();
    const std::int64_t samples = set_.info().samples;
    const std::int64_t begin = samples * place.rank / place.ranks;
    const std::int64_t end = samples * (place.rank + 1) / place.ranks;
    // Where several nodes want the same bytes, MPI-IO reads them once and sends them on. On one
    // node plain reads are fastest (`bench loader`).
    const auto method =
        place.ranks < world.size() ? ParallelRead::collective : ParallelRead::direct;
    if (method == ParallelRead::direct) {
      parallel_ranges(readers_, end - begin, [&](std::int64_t first, std::int64_t last) {
        read_range(begin + first, begin + last);
      });
    } else {
      const std::uint64_t bytes = set_.stored_bytes(begin, end - begin);
      read_in_parallel(set_, world, method, begin, end - begin,
                       memory_.bytes().subspan(set_.stored_bytes(0, begin), bytes));
    }
    statistics_ = {seconds_since(start), set_.stored_bytes(begin, end - begin)};
    memory_.synchronise();
    description_ = fmt::format("node cache, {:.2f} GB read at {:.2f} GB/s a rank ({})",
                               gigabytes(memory_.bytes().size()),
                               gigabytes(statistics_.bytes) / statistics_.seconds, name_of(method));
  }

  std::vector<StoredImage> fetch(const std::vector<std::int64_t>& samples, int) override {
    std::vector<StoredImage> images;
    images.reserve(samples.size());
    for (const std::int64_t sample : samples) {
      const ShardSet::Extent extent = set_.extent(sample);
      images.push_back(stored_image(extent, memory_.bytes().data() + extent.offset));
    }
    return images;
  }
  [[nodiscard]] int batches_per_fetch(std::int64_t) const override { return 1; }
  [[nodiscard]] std::string description() const override { return description_; }

 private:
  void read_range(std::int64_t first, std::int64_t end) {
    if (first == end) return;
    const std::uint64_t bytes = set_.stored_bytes(first, end - first);
    const auto requests = static_cast<std::int64_t>((bytes + kReadBytes - 1) / kReadBytes);
    for (std::int64_t r = 0; r < requests; ++r) {
      const std::int64_t from = first + (end - first) * r / requests;
      const std::int64_t to = first + (end - first) * (r + 1) / requests;
      if (from == to) continue;
      const std::uint64_t size = set_.stored_bytes(from, to - from);
      set_.read(from, to - from, memory_.bytes().subspan(set_.extent(from).offset, size));
    }
  }

  NodeSharedMemory memory_;
  std::string description_;
};

/// Nothing kept: the samples of a few batches are read in stored order, neighbours in one request.
class StreamingStore : public ShardStore {
 public:
  using ShardStore::ShardStore;

  std::vector<StoredImage> fetch(const std::vector<std::int64_t>& samples, int slot) override {
    const auto start = Clock::now();
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
    std::byte* memory = reserve(slot, bytes);
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
    statistics_.seconds += seconds_since(start);
    statistics_.bytes += bytes;
    return images;
  }

  [[nodiscard]] int batches_per_fetch(std::int64_t batch_samples) const override {
    const ShardSetInfo& all = set_.info();
    const std::uint64_t mean_bytes =
        set_.stored_bytes(0, all.samples) / static_cast<std::uint64_t>(all.samples);
    const auto most = static_cast<std::int64_t>(
        kLookAheadBytes /
        std::max<std::uint64_t>(1, mean_bytes * static_cast<std::uint64_t>(batch_samples)));
    return static_cast<int>(std::clamp<std::int64_t>(most, 1, kLookAheadBatches));
  }
  [[nodiscard]] std::string description() const override {
    return fmt::format("no cache, {:.2f} GB read batch by batch",
                       gigabytes(set_.stored_bytes(0, set_.info().samples)));
  }

 private:
  /// A sample, its place in the request, and where its bytes go.
  struct Wanted {
    std::int64_t sample = 0;
    std::size_t index = 0;
    std::uint64_t position = 0;
  };
  struct Memory {
    std::unique_ptr<std::byte[]> bytes;
    std::uint64_t capacity = 0;
  };

  std::byte* reserve(int slot, std::uint64_t bytes) {
    Memory& memory = memory_[slot];
    if (memory.capacity < bytes) {
      memory.bytes = std::make_unique_for_overwrite<std::byte[]>(bytes);
      memory.capacity = bytes;
    }
    return memory.bytes.get();
  }

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

  std::map<int, Memory> memory_;
};

}  // namespace

std::unique_ptr<SampleStore> open_sample_store(const std::filesystem::path& directory,
                                               CacheMode mode, Communicator& world, int threads) {
  ShardSet set(directory);
  if (mode == CacheMode::none) return std::make_unique<StreamingStore>(std::move(set), threads);
  if (mode == CacheMode::device) require_resident(set.info());
  const std::uint64_t bytes = set.stored_bytes(0, set.info().samples);
  const MemoryBudget budget = measure_memory_budget(world.size() > 1);
  if (any_rank(world, !fits(bytes, budget))) {
    refuse(
        "{}: {:.1f} GB do not fit into this node's {} ({:.1f} GB free); use --cache none with "
        "--shuffle block, more memory, or smaller images (pack --resize-short)",
        directory.string(), gigabytes(bytes), budget.limited_by, gigabytes(budget.bytes));
  }
  return std::make_unique<NodeStore>(std::move(set), threads, world);
}

}  // namespace simclr
