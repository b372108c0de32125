#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "simclr/comm/communicator.hpp"
#include "simclr/io/shard_set.hpp"

namespace simclr {

/// How several ranks read a set into memory at start-up.
enum class ParallelRead : std::uint8_t {
  direct,       ///< each rank on its own, without HDF5 where the pixels lie contiguously
  independent,  ///< HDF5 over MPI-IO, each rank its own requests
  collective,   ///< HDF5 over MPI-IO, requests merged and spread over a few ranks
};
std::string_view name_of(ParallelRead method);

/// Reads samples [first, first + count), a range of this rank's own, as ShardSet::read does.
/// Collective over all ranks of the job, with `independent` and `collective` only there where MPI
/// runs; `world` is to span it.
void read_in_parallel(const ShardSet& set, Communicator& world, ParallelRead method,
                      std::int64_t first, std::int64_t count, std::span<std::byte> out);

}  // namespace simclr
