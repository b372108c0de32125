#include "simclr/io/shard_set.hpp"

#include <mpi.h>

#include <algorithm>
#include <array>

#include "hdf5.hpp"
#include "simclr/core/activity.hpp"
#include "simclr/core/check.hpp"

namespace simclr {
namespace {

/// Bytes of a shard that all ranks together read in one round, which limits MPI-IO's buffers.
constexpr std::uint64_t kRoundBytes = std::uint64_t{256} << 20;

h5::Handle mpi_file_access() {
  h5::Handle access = h5::own(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "HDF5 file access list");
  h5::check(H5Pset_fapl_mpio(access.get(), MPI_COMM_WORLD, MPI_INFO_NULL), "HDF5 over MPI-IO");
  h5::check(H5Pset_all_coll_metadata_ops(access.get(), true), "HDF5 collective metadata");
  return access;
}

h5::Handle mpi_transfer(ParallelRead method) {
  h5::Handle transfer = h5::own(H5Pcreate(H5P_DATASET_XFER), H5Pclose, "HDF5 transfer list");
  const bool collective = method == ParallelRead::collective;
  h5::check(
      H5Pset_dxpl_mpio(transfer.get(), collective ? H5FD_MPIO_COLLECTIVE : H5FD_MPIO_INDEPENDENT),
      "HDF5 transfer mode");
  return transfer;
}

/// The rows (of `images`) or bytes (of `bytes`) that this rank reads.
struct Range {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
};

/// Reads a part of this rank's range in every round. Ranks with an empty range still make the
/// calls, which are collective.
void read_rounds(const h5::Handle& dataset, const h5::Handle& transfer, Range mine,
                 std::uint64_t rounds, std::span<std::byte> out) {
  const std::uint64_t row_bytes = mine.count > 0 ? out.size() / mine.count : 0;
  for (std::uint64_t r = 0; r < rounds; ++r) {
    const std::uint64_t begin = mine.count * r / rounds;
    const std::uint64_t end = mine.count * (r + 1) / rounds;
    h5::read_rows(dataset, H5T_NATIVE_UINT8, mine.first + begin, end - begin,
                  out.data() + begin * row_bytes, transfer.get());
    activity().move();
  }
}

void read_shard(const ShardSet& set, std::size_t shard, const h5::Handle& access,
                const h5::Handle& transfer, std::int64_t first, std::int64_t count,
                std::span<std::byte> out) {
  const ShardSetInfo& info = set.info();
  const std::int64_t begin = info.first_sample[shard];
  const std::int64_t end =
      shard + 1 < info.first_sample.size() ? info.first_sample[shard + 1] : info.samples;
  const std::int64_t from = std::clamp(first, begin, end);
  const std::int64_t to = std::clamp(first + count, begin, end);

  const std::string path = info.shards[shard].string();
  const h5::Handle file = h5::own(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()), H5Fclose,
                                  path + ": cannot be opened over MPI-IO");
  const h5::Handle dataset = h5::naming_damage(
      path, [&] { return h5::open_dataset(file, info.fixed_size ? "images" : "bytes"); });
  const std::uint64_t bytes = set.stored_bytes(from, to - from);
  const std::uint64_t skipped = set.stored_bytes(begin, from - begin);
  const Range mine = info.fixed_size ? Range{static_cast<std::uint64_t>(from - begin),
                                             static_cast<std::uint64_t>(to - from)}
                                     : Range{set.first_stored_byte(shard) + skipped, bytes};
  const std::uint64_t shard_bytes = set.stored_bytes(begin, end - begin);
  const std::uint64_t rounds = (shard_bytes + kRoundBytes - 1) / kRoundBytes;
  const std::uint64_t at = from < to ? set.stored_bytes(first, from - first) : 0;
  h5::naming_damage(path,
                    [&] { read_rounds(dataset, transfer, mine, rounds, out.subspan(at, bytes)); });
}

}  // namespace

std::string_view name_of(ParallelRead method) {
  constexpr std::array kNames{"direct", "MPI-IO, independent", "MPI-IO, collective"};
  return kNames.at(static_cast<std::size_t>(method));
}

void read_in_parallel(const ShardSet& set, Communicator& world, ParallelRead method,
                      std::int64_t first, std::int64_t count, std::span<std::byte> out) {
  require(out.size() == set.stored_bytes(first, count), "the buffer must fit the samples");
  if (method == ParallelRead::direct) {
    set.read(first, count, out);
    return;
  }
  int running = 0;
  int ranks = 0;
  MPI_Initialized(&running);
  require(
      running != 0 && MPI_Comm_size(MPI_COMM_WORLD, &ranks) == MPI_SUCCESS && ranks == world.size(),
      "all ranks of the job must take part in reading over MPI-IO");
  const auto lock = h5::lock_library();
  const h5::Handle access = mpi_file_access();
  const h5::Handle transfer = mpi_transfer(method);
  for (std::size_t shard = 0; shard < set.info().shards.size(); ++shard) {
    read_shard(set, shard, access, transfer, first, count, out);
  }
}

}  // namespace simclr
