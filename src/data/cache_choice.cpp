#include "cache_choice.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "shard_store.hpp"
#include "simclr/comm/session.hpp"
#include "simclr/core/check.hpp"

namespace simclr {
namespace {

/// Returns the smallest of all ranks' budgets on every rank.
MemoryBudget smallest_budget(const MemoryBudget& own, Communicator& world) {
  std::vector<std::uint64_t> all(static_cast<std::size_t>(world.size()));
  world.all_gather({&own.bytes, sizeof(own.bytes), DType::u8},
                   {all.data(), all.size() * sizeof(own.bytes), DType::u8});
  const auto lowest = std::min_element(all.begin(), all.end());
  return {*lowest, broadcast_text(world, own.limited_by, static_cast<int>(lowest - all.begin()))};
}

[[noreturn]] void refuse_both(const CacheSizes& sizes, std::uint64_t rank_bytes) {
  constexpr const char* kAdvice =
      "--cache none with --shuffle block, more memory, or smaller images (pack --resize-short)";
  if (sizes.ranks == 1) {
    refuse("{}: the data set ({}) does not fit into this node's {} ({} free); use {}", sizes.data,
           size_text(sizes.set_bytes), sizes.node.limited_by, size_text(sizes.node.bytes), kAdvice);
  }
  refuse(
      "{}: the data set ({}) does not fit into a node's {} ({} free), and {} per rank do not fit "
      "into a rank's share of {} ({} free); use more nodes, {}",
      sizes.data, size_text(sizes.set_bytes), sizes.node.limited_by, size_text(sizes.node.bytes),
      size_text(rank_bytes), sizes.rank.limited_by, size_text(sizes.rank.bytes), kAdvice);
}

}  // namespace

CacheSizes measure_cache_sizes(const ShardSet& set, std::int64_t batch_samples,
                               Communicator& world) {
  constexpr std::uint64_t kSlots = 2;
  const std::int64_t samples = set.info().samples;
  CacheSizes sizes{.data = set.info().path.string(),
                   .ranks = world.size(),
                   .set_bytes = set.stored_bytes(0, samples)};
  for (std::int64_t r = 0; r < world.size(); ++r) {
    const std::int64_t first = part_begin(samples, r, world.size());
    const std::int64_t end = part_begin(samples, r + 1, world.size());
    sizes.part_bytes = std::max(sizes.part_bytes, set.stored_bytes(first, end - first));
  }
  if (world.size() > 1) {
    sizes.buffer_bytes = kSlots * static_cast<std::uint64_t>(batch_samples) *
                         (sizes.set_bytes / static_cast<std::uint64_t>(samples));
  }
  sizes.node = smallest_budget(measure_memory_budget(world.size() > 1), world);
  MemoryBudget own = measure_memory_budget(false);
  own.bytes /= static_cast<std::uint64_t>(node_place(world).ranks);
  sizes.rank = smallest_budget(own, world);
  return sizes;
}

CacheChoice choose_cache(CacheMode asked, const CacheSizes& sizes) {
  const std::uint64_t rank_bytes = sizes.part_bytes + sizes.buffer_bytes;
  const bool node_fits = fits(sizes.set_bytes, sizes.node);
  const bool ranks_fit = fits(rank_bytes, sizes.rank);
  const bool may_spread = asked == CacheMode::automatic && sizes.ranks > 1;

  if (asked == CacheMode::distributed) {
    if (!ranks_fit) {
      refuse(
          "{}: with --cache distributed, {} per rank ({} of it buffers) do not fit into a rank's "
          "share of {} ({} free); use more nodes, --cache none with --shuffle block, or smaller "
          "images (pack --resize-short)",
          sizes.data, size_text(rank_bytes), size_text(sizes.buffer_bytes), sizes.rank.limited_by,
          size_text(sizes.rank.bytes));
    }
    return {CacheMode::distributed,
            fmt::format("takes {} of the {} that are free per rank on the fullest node",
                        size_text(rank_bytes), size_text(sizes.rank.bytes))};
  }
  if (node_fits) {
    return {CacheMode::node, fmt::format("takes {} of the {} that are free on the fullest node",
                                         size_text(sizes.set_bytes), size_text(sizes.node.bytes))};
  }
  if (may_spread && ranks_fit) {
    return {
        CacheMode::distributed,
        fmt::format("the data set ({}) does not fit into a node's {} ({} free), but {} per rank "
                    "fit on {} ranks",
                    size_text(sizes.set_bytes), sizes.node.limited_by, size_text(sizes.node.bytes),
                    size_text(rank_bytes), sizes.ranks)};
  }
  if (asked != CacheMode::automatic && sizes.ranks > 1 && ranks_fit) {
    refuse(
        "{}: the data set ({}) does not fit into a node's {} ({} free); use --cache distributed: "
        "{} per rank fit on {} ranks",
        sizes.data, size_text(sizes.set_bytes), sizes.node.limited_by, size_text(sizes.node.bytes),
        size_text(rank_bytes), sizes.ranks);
  }
  refuse_both(sizes, rank_bytes);
}

}  // namespace simclr
