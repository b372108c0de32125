#include "tiles.hpp"

#include <algorithm>

namespace simclr::cpu {

namespace {

// Appends [begin, end) of one group in pieces of `step` images.
void append_runs(std::vector<ImageRun>& runs, ImageRun whole, std::int64_t step) {
  for (std::int64_t begin = whole.begin; begin < whole.end; begin += step) {
    runs.push_back({begin, std::min(begin + step, whole.end), whole.group});
  }
}

}  // namespace

Tiles make_tiles(const Layout& layout, const BnGroups& groups, int threads) {
  constexpr std::int64_t kPixels = 256;
  Tiles tiles{.runs = {}, .layout = layout, .threads = threads};
  const std::int64_t step = std::max<std::int64_t>(1, kPixels / layout.pixels());
  if (groups.groups == 1) {
    append_runs(tiles.runs, {.begin = 0, .end = layout.images, .group = 0}, step);
    return tiles;
  }
  const std::int64_t samples = groups.samples;
  require(layout.images % samples == 0 && samples % groups.groups == 0,
          "batch-normalization groups are equal parts of the samples");
  const std::int64_t size = samples / groups.groups;
  for (std::int64_t half = 0; half < layout.images; half += samples) {
    for (std::int64_t group = 0; group < groups.groups; ++group) {
      const std::int64_t begin = half + group * size;
      append_runs(tiles.runs, {.begin = begin, .end = begin + size, .group = group}, step);
    }
  }
  return tiles;
}

}  // namespace simclr::cpu
