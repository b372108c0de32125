// Opens data sets, with the cache that was asked for or that fits.

#include "shard_store.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <thread>
#include <vector>

#include "cache_choice.hpp"
#include "simclr/core/check.hpp"
#include "simclr/io/shard_set.hpp"

namespace simclr {
namespace {

/// Size of one request: large enough for a parallel file system, small enough to divide among
/// threads.
constexpr std::uint64_t kReadBytes = std::uint64_t{32} << 20;
constexpr int kMaxReaders = 8;

/// Reads samples [from, to) to their place in `out`, which begins with sample `first`.
void read_range(const ShardSet& set, std::int64_t first, std::int64_t from, std::int64_t to,
                std::span<std::byte> out) {
  const std::uint64_t bytes = set.stored_bytes(from, to - from);
  const auto requests = static_cast<std::int64_t>((bytes + kReadBytes - 1) / kReadBytes);
  for (std::int64_t r = 0; r < requests; ++r) {
    const std::int64_t begin = from + (to - from) * r / requests;
    const std::int64_t end = from + (to - from) * (r + 1) / requests;
    if (begin == end) continue;
    set.read(
        begin, end - begin,
        out.subspan(set.stored_bytes(first, begin - first), set.stored_bytes(begin, end - begin)));
  }
}

}  // namespace

std::vector<StoredImage> SampleStore::fetch(const std::vector<std::int64_t>& samples, int slot) {
  require(group().ranks == 1, "fetch() works only with a fetch group of one rank");
  return fetch_together({samples}, slot, {});
}

ReadStatistics ShardStore::take_read_statistics() {
  const std::lock_guard lock(mutex_);
  return std::exchange(statistics_, {});
}

void ShardStore::count(const ReadStatistics& cost) {
  const std::lock_guard lock(mutex_);
  statistics_.seconds += cost.seconds;
  statistics_.bytes_read += cost.bytes_read;
  statistics_.bytes_fetched += cost.bytes_fetched;
}

std::byte* SlotMemory::reserve(int slot, std::uint64_t bytes) {
  Block& block = blocks_[slot];
  if (block.capacity < bytes) {
    block = {};  // frees the old memory before allocating the new
    block = {std::make_unique_for_overwrite<std::byte[]>(bytes), bytes};
  }
  return block.bytes.get();
}

int reading_threads(int threads) { return std::clamp(threads, 1, kMaxReaders); }

double gigabytes(std::uint64_t bytes) { return static_cast<double>(bytes) * 1e-9; }

FirstRead read_at_start(const ShardSet& set, Communicator& world, int ranks_of_node, int threads,
                        std::int64_t first, std::int64_t end, std::span<std::byte> out) {
  const auto start = std::chrono::steady_clock::now();
  // Over several nodes, MPI-IO merges requests into fewer and larger ones and reads shared data
  // once. On one node plain reads are fastest (`bench loader`).
  const auto method =
      ranks_of_node < world.size() ? ParallelRead::collective : ParallelRead::direct;
  if (method == ParallelRead::direct) {
    parallel_ranges(reading_threads(threads), end - first, [&](std::int64_t from, std::int64_t to) {
      read_range(set, first, first + from, first + to, out);
    });
  } else {
    read_in_parallel(set, world, method, first, end - first, out);
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  return {{.seconds = seconds.count(), .bytes_read = out.size()},
          fmt::format("{:.2f} GB read at {:.2f} GB/s per rank ({})",
                      gigabytes(set.stored_bytes(0, set.info().samples)),
                      gigabytes(out.size()) / seconds.count(), name_of(method))};
}

void parallel_ranges(int threads, std::int64_t count,
                     const std::function<void(std::int64_t, std::int64_t)>& work) {
  const std::int64_t parts = std::clamp<std::int64_t>(threads, 1, std::max<std::int64_t>(count, 1));
  std::vector<std::exception_ptr> errors(static_cast<std::size_t>(parts));
  const auto run = [&](std::int64_t part) {
    try {
      work(count * part / parts, count * (part + 1) / parts);
    } catch (...) {
      errors[static_cast<std::size_t>(part)] = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> others;
    for (std::int64_t part = 1; part < parts; ++part) others.emplace_back(run, part);
    run(0);
  }
  for (const auto& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

std::uint64_t require_cache_fits(const ShardSet& set, CacheMode mode, Communicator& world,
                                 std::int64_t batch_samples) {
  if (mode == CacheMode::none) return 0;
  const CacheSizes sizes = measure_cache_sizes(set, batch_samples, world);
  if (choose_cache(mode, sizes).mode == CacheMode::distributed) {
    return sizes.part_bytes + sizes.buffer_bytes;
  }
  return sizes.set_bytes / static_cast<std::uint64_t>(node_place(world).ranks);
}

std::unique_ptr<SampleStore> open_sample_store(ShardSet set, CacheMode mode, Communicator& world,
                                               int threads, std::int64_t batch_samples) {
  if (mode == CacheMode::none) return make_streaming_store(std::move(set), threads);
  CacheSizes sizes = measure_cache_sizes(set, batch_samples, world);
  CacheChoice choice = choose_cache(mode, sizes);
  std::unique_ptr<NodeSharedMemory> memory;
  if (choice.mode == CacheMode::node) {
    try {
      memory = std::make_unique<NodeSharedMemory>(world, sizes.set_bytes);
    } catch (const NoSharedMemoryError& error) {  // another job has taken it in the meantime
      if (mode != CacheMode::automatic) throw;
      sizes.node = {std::min(error.free_bytes(), sizes.set_bytes), "/dev/shm"};
      choice = choose_cache(mode, sizes);
    }
  }
  auto store = memory ? make_node_store(std::move(set), std::move(memory), threads, world)
                      : make_distributed_store(std::move(set), threads, world);
  store->add_to_description(choice.reason);
  return store;
}

}  // namespace simclr
