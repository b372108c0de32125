#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "simclr/comm/communicator.hpp"
#include "simclr/io/shard_set.hpp"

namespace simclr {

/// How the ranks read a data set into memory at start-up.
enum class ParallelRead : std::uint8_t {
  direct,       ///< plain reads by each rank, bypassing HDF5 for contiguous datasets
  independent,  ///< HDF5 over MPI-IO, independent requests
  collective,   ///< HDF5 over MPI-IO, requests merged and spread over a few ranks
};
std::string_view name_of(ParallelRead method);

/// Reads this rank's samples [first, first + count) as ShardSet::read does. All ranks of the job
/// must call it. `independent` and `collective` need MPI, and `world` must span MPI_COMM_WORLD.
void read_in_parallel(const ShardSet& set, Communicator& world, ParallelRead method,
                      std::int64_t first, std::int64_t count, std::span<std::byte> out);

}  // namespace simclr
