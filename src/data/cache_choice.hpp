#pragma once
// Where a data set is kept: the decision, apart from the measuring.

#include <cstdint>
#include <string>

#include "memory_budget.hpp"
#include "simclr/comm/communicator.hpp"
#include "simclr/data/loader.hpp"

namespace simclr {

/// What a cache of either kind would take, and where there is least room for it.
struct CacheSizes {
  std::string data;  ///< what is kept, for messages
  int ranks = 1;
  std::uint64_t set_bytes = 0;     ///< `node`: on every node
  std::uint64_t part_bytes = 0;    ///< `distributed`: the largest part of a rank
  std::uint64_t buffer_bytes = 0;  ///< beside it: what a rank receives at a time, twice
  MemoryBudget node;               ///< for memory that ranks share, on the fullest node
  MemoryBudget rank;               ///< a rank's share of its node's memory, on the fullest node
};

/// Collective; the same on every rank. `batch_samples`: what a rank fetches at a time.
CacheSizes measure_cache_sizes(const ShardSet& set, std::int64_t batch_samples,
                               Communicator& world);

struct CacheChoice {
  CacheMode mode = CacheMode::node;
  std::string reason;  ///< sizes, for the log
};

/// `asked` is automatic, node or distributed. Throws RefusedError with sizes and advice when it
/// does not fit.
CacheChoice choose_cache(CacheMode asked, const CacheSizes& sizes);

}  // namespace simclr
