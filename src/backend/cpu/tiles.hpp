#pragma once
// How the own kernels divide a blocked activation among threads.

#include <cstdint>
#include <vector>

#include "kernels/table.hpp"
#include "layout.hpp"
#include "simclr/core/check.hpp"
#include "simclr/program/ops.hpp"
#include "steps.hpp"

namespace simclr::cpu {

/// Consecutive images of one batch-normalization group.
struct ImageRun {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t group = 0;
};

/// A tile is one run of images of one channel block. Runs depend on shapes only, never on the
/// number of threads, so results that are combined run by run do not either.
struct Tiles {
  std::vector<ImageRun> runs{};
  Layout layout;
  int threads = 1;

  [[nodiscard]] std::int64_t count() const {
    return static_cast<std::int64_t>(runs.size()) * layout.blocks();
  }
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
    visit(tiles.runs[static_cast<std::size_t>(tile / blocks)], tile % blocks, tile);
  }
}

/// visit(i) for i in [0, count), divided evenly among the threads.
template <class Visit>
void for_each_index(std::int64_t count, int threads, Visit&& visit) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (std::int64_t i = 0; i < count; ++i) visit(i);
}

/// make(T{}) with T the element type of an activation, float or bf16.
template <class Make>
decltype(auto) for_activation_type(DType dtype, Make&& make) {
  if (dtype == DType::f32) return make(float{});
  if (dtype == DType::bf16) return make(bf16{});
  fail("activations are f32 or bf16, not {}", name_of(dtype));
}

inline void require_blocked(const TensorView& tensor) {
  require(tensor.layout.kind == Layout::Kind::blocked,
          "activations are blocked by channels (rank 2, or rank 4 but not of 3 channels)");
}

}  // namespace simclr::cpu
