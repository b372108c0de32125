#include "row_tiles.hpp"

#include <algorithm>
#include <limits>

#include "launch.hpp"
#include "simclr/core/check.hpp"
#include "simclr/tensor/dtype.hpp"

namespace simclr::cuda {

namespace {

constexpr std::int64_t kPackBytes = 16;
/// Rows of a thread come in multiples of this, so that only the last chunk of a run has rows that
/// are read one by one.
constexpr std::int64_t kRowMultiple = 4;
/// Tiles wanted before chunks grow: eight blocks for each of some 132 multiprocessors.
constexpr std::int64_t kTilesWanted = 1056;

struct Limits {
  std::int64_t lanes;
  std::int64_t rows_of_thread;
};

RowTiles make_tiles(const Layout& layout, const BnGroups& groups, Limits most) {
  std::int64_t runs = 1;
  if (groups.groups > 1) {
    require(layout.images % groups.samples == 0 && groups.samples % groups.groups == 0,
            "batch-normalization groups are equal parts of the samples");
    runs = layout.images / groups.samples * groups.groups;
  }
  const std::int64_t run_rows = layout.rows() / runs;
  const auto pack = kPackBytes / static_cast<std::int64_t>(size_in_bytes(layout.dtype));
  require(layout.stride % pack == 0, "normalized channels are padded to whole vectors");
  const std::int64_t packs = layout.stride / pack;
  const std::int64_t slices = ceil_div(packs, most.lanes);
  const std::int64_t lanes = ceil_div(packs, slices);
  const std::int64_t row_lanes = kMostTileThreads / lanes;

  const std::int64_t rows_wanted = layout.rows() * slices / (row_lanes * kTilesWanted);
  const std::int64_t rows_of_thread =
      std::clamp(rows_wanted / kRowMultiple * kRowMultiple, kRowMultiple, most.rows_of_thread);
  const std::int64_t chunk_rows = rows_of_thread * row_lanes;
  const std::int64_t chunks = ceil_div(run_rows, chunk_rows);
  require(runs * chunks * slices <= std::numeric_limits<std::int32_t>::max(),
          "a grid holds all tiles");
  return {.run_rows = run_rows,
          .groups = groups.groups,
          .repeats = static_cast<int>(runs / groups.groups),
          .channels = static_cast<int>(layout.channels),
          .stride = static_cast<int>(layout.stride),
          .lanes = static_cast<int>(lanes),
          .row_lanes = static_cast<int>(row_lanes),
          .slices = static_cast<int>(slices),
          .chunk_rows = static_cast<int>(chunk_rows),
          .chunks = static_cast<int>(chunks)};
}

}  // namespace

RowTiles tiles_for_sums(const Layout& layout, const BnGroups& groups) {
  return make_tiles(layout, groups, {.lanes = kMostSumLanes, .rows_of_thread = kMostRowsSummed});
}

RowTiles tiles_for_elements(const Layout& layout, const BnGroups& groups) {
  return make_tiles(layout, groups, {.lanes = kMostElementLanes, .rows_of_thread = 16});
}

}  // namespace simclr::cuda
