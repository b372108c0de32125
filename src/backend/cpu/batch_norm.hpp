#pragma once
// What the forward and the backward steps of batch normalization share: how they divide a blocked
// activation among threads, and arrays of channels.

#include <algorithm>
#include <array>
#include <cstdint>
#include <type_traits>

#include "kernels/table.hpp"
#include "steps.hpp"

namespace simclr::cpu {

/// Consecutive images of one batch-normalization group.
struct ImageRun {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t group = 0;
};

/// A tile is one run of images of one channel block. Runs depend on shapes only, never on the
/// number of threads, so results that are combined run by run do not either. A part is the images
/// of one group in one half (view) of the batch; runs divide it.
struct Tiles {
  Layout layout;
  int threads = 1;
  std::int64_t groups = 1;
  std::int64_t part_images = 0;
  std::int64_t run_images = 1;  ///< of all runs of a part but the last, which may be shorter

  [[nodiscard]] std::int64_t runs_per_part() const {
    return (part_images + run_images - 1) / run_images;
  }
  [[nodiscard]] std::int64_t runs() const { return layout.images / part_images * runs_per_part(); }
  [[nodiscard]] ImageRun run(std::int64_t index) const {
    const std::int64_t part = index / runs_per_part();
    const std::int64_t begin = index % runs_per_part() * run_images;
    const std::int64_t end = std::min(begin + run_images, part_images);
    return {part * part_images + begin, part * part_images + end, part % groups};
  }
  [[nodiscard]] std::int64_t count() const { return runs() * layout.blocks(); }
  [[nodiscard]] std::int64_t image_stride() const {
    return layout.blocks() * layout.pixels() * kBlock;
  }
  /// Offset of the tile's first element, in elements.
  [[nodiscard]] std::int64_t offset(const ImageRun& run, std::int64_t block) const {
    return run.begin * image_stride() + block * layout.pixels() * kBlock;
  }
  [[nodiscard]] kernels::Run kernel_run(const ImageRun& run) const {
    return {
        .images = run.end - run.begin, .pixels = layout.pixels(), .image_stride = image_stride()};
  }
};

/// Runs of about 256 pixels or of one image, whichever is more, none across a group's border.
Tiles make_tiles(const Layout& layout, const BnGroups& groups, int threads);

/// visit(run, block, tile index) for every tile; neighbors in memory go to the same thread.
template <class Visit>
void for_each_tile(const Tiles& tiles, Visit&& visit) {
  const std::int64_t blocks = tiles.layout.blocks();
#pragma omp parallel for num_threads(tiles.threads) schedule(static)
  for (std::int64_t tile = 0; tile < tiles.count(); ++tile) {
    visit(tiles.run(tile / blocks), tile % blocks, tile);
  }
}

/// One channel block's worth of a per-channel array; zero past the last channel, so that padding
/// channels come out as zero.
struct alignas(64) ChannelBlock {
  std::array<float, kBlock> value{};

  ChannelBlock() = default;
  ChannelBlock(const float* channels, std::int64_t count, std::int64_t block) {
    const std::int64_t begin = block * kBlock;
    std::copy_n(channels + begin, std::min(kBlock, count - begin), value.begin());
  }
  [[nodiscard]] const float* data() const { return value.data(); }
};

/// (G,2,C): the two rows of a group.
template <class T>
struct GroupRows {
  T* data = nullptr;
  std::int64_t channels = 0;

  [[nodiscard]] T* first(std::int64_t group) const { return data + group * 2 * channels; }
  [[nodiscard]] T* second(std::int64_t group) const { return first(group) + channels; }
};
template <class T>
GroupRows<T> group_rows(const TensorView& tensor, std::int64_t channels) {
  return {.data = tensor.as<std::remove_const_t<T>>(), .channels = channels};
}

/// Doubles per tile of the partial sums: two rows of one channel block.
inline constexpr std::int64_t kPartial = 2 * kBlock;

inline std::size_t partial_bytes(const Tiles& tiles) {
  return static_cast<std::size_t>(tiles.count() * kPartial) * sizeof(double);
}

/// sums (G,2,C) = the tiles' partial sums added in the order of runs; the second row times
/// factor(group, channel). A few thousand additions: not worth a second parallel region.
template <class Factor>
void combine_partials(const Tiles& tiles, const double* partials, GroupRows<double> sums,
                      std::int64_t groups, Factor&& factor) {
  const std::int64_t channels = sums.channels;
  std::fill_n(sums.data, groups * 2 * channels, 0.0);
  for (std::int64_t i = 0; i < tiles.runs(); ++i) {
    const ImageRun run = tiles.run(i);
    for (std::int64_t begin = 0; begin < channels; begin += kBlock, partials += kPartial) {
      const std::int64_t count = std::min(kBlock, channels - begin);
      double* first = sums.first(run.group) + begin;
      double* second = sums.second(run.group) + begin;
      for (std::int64_t c = 0; c < count; ++c) first[c] += partials[c];
      for (std::int64_t c = 0; c < count; ++c) second[c] += partials[kBlock + c];
    }
  }
  for (std::int64_t group = 0; group < groups; ++group) {
    for (std::int64_t c = 0; c < channels; ++c) sums.second(group)[c] *= factor(group, c);
  }
}

}  // namespace simclr::cpu
