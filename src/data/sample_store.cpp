#include <fmt/format.h>

#include "cache_choice.hpp"
#include "shard_store.hpp"

namespace simclr {
namespace {

CacheChoice measure_and_choose(const ShardSet& set, const std::filesystem::path& directory,
                               CacheMode mode, Communicator& world, std::int64_t batch_samples) {
  CacheSizes sizes = measure_cache_sizes(set, batch_samples, world);
  sizes.data = directory.string();
  return choose_cache(mode, sizes);
}

}  // namespace

void require_cache_fits(const std::filesystem::path& directory, CacheMode mode, Communicator& world,
                        std::int64_t batch_samples) {
  const ShardSet set(directory);
  if (mode != CacheMode::none) (void)measure_and_choose(set, directory, mode, world, batch_samples);
}

std::unique_ptr<SampleStore> open_sample_store(const std::filesystem::path& directory,
                                               CacheMode mode, Communicator& world, int threads,
                                               std::int64_t batch_samples) {
  ShardSet set(directory);
  if (mode == CacheMode::none) return make_streaming_store(std::move(set), threads);
  const CacheChoice choice = measure_and_choose(set, directory, mode, world, batch_samples);
  auto store = choice.mode == CacheMode::distributed
                   ? make_distributed_store(std::move(set), threads, world)
                   : make_node_store(std::move(set), threads, world);
  store->add_to_description(choice.reason);
  return store;
}

}  // namespace simclr
