#pragma once
// Decides from measured sizes where a data set is cached.

#include <cstdint>
#include <string>

#include "simclr/comm/communicator.hpp"
#include "simclr/data/loader.hpp"
#include "simclr/data/memory_budget.hpp"

namespace simclr {

/// The sizes of both kinds of cache, and the smallest memory budgets of all nodes and ranks.
struct CacheSizes {
  std::string data;  ///< name of the data set, for messages
  int ranks = 1;
  std::uint64_t set_bytes = 0;     ///< `node`: on every node
  std::uint64_t part_bytes = 0;    ///< `distributed`: the largest part of a rank
  std::uint64_t buffer_bytes = 0;  ///< `distributed`: two receive buffers per rank
  MemoryBudget node;               ///< for memory that ranks share, on the fullest node
  MemoryBudget rank;               ///< a rank's share of its node's memory, on the fullest node
};

/// Measures the sizes of a data set, the same on every rank (collective call). `batch_samples`:
/// samples that a rank fetches at a time.
CacheSizes measure_cache_sizes(const ShardSet& set, std::int64_t batch_samples,
                               Communicator& world);

struct CacheChoice {
  CacheMode mode = CacheMode::node;
  std::string reason;  ///< sizes, for the log
};

/// Chooses the cache; `asked` must not be `none`. Throws RefusedError with sizes and advice when
/// the data set does not fit.
CacheChoice choose_cache(CacheMode asked, const CacheSizes& sizes);

}  // namespace simclr
