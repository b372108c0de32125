#pragma once
// What pooling kernels share: channels are padded to whole packs, and a thread has one pack.

#include <cstdint>
#include <limits>

#include "../launch.hpp"
#include "../steps.hpp"
#include "element.cuh"

namespace simclr::cuda {

/// Windows over x (images, height, width, channels) that give y (images, out_height, out_width,
/// channels); every window covers a pixel.
struct PoolShape {
  std::int64_t images = 1;
  int height = 1, width = 1;
  int out_height = 1, out_width = 1;
  int channels = 8;  ///< stored; a multiple of 8
  int kernel = 1, stride = 1, padding = 0;
};

/// The pixel and the first channel of thread `item`, of `channels` / kPackSize a pixel.
struct Place {
  int row, column;
  std::int64_t image;
  int channel;
};
template <class T>
__device__ __forceinline__ Place place_of(unsigned item, int height, int width, int channels) {
  const unsigned packs = static_cast<unsigned>(channels / kPackSize<T>);
  const unsigned pixel = item / packs;
  const unsigned line = pixel / static_cast<unsigned>(width);
  return {.row = static_cast<int>(line % static_cast<unsigned>(height)),
          .column = static_cast<int>(pixel % static_cast<unsigned>(width)),
          .image = line / static_cast<unsigned>(height),
          .channel = static_cast<int>(item % packs) * kPackSize<T>};
}

/// The first window, of those that start every `stride` pixels, that reaches `position`.
__device__ __forceinline__ int first_window(int position, const PoolShape& shape) {
  const int start = position + shape.padding - shape.kernel + 1;
  return start > 0 ? (start + shape.stride - 1) / shape.stride : 0;
}

/// One thread for kPackSize channels of each pixel; they are counted in 32 bits.
template <class T>
unsigned items_of(const Layout& layout) {
  require(layout.stride % kPackSize<T> == 0, "pooled channels come in whole packs");
  const std::int64_t items = layout.rows() * (layout.stride / kPackSize<T>);
  require(items <= std::numeric_limits<std::int32_t>::max(), "a pool's packs fit 31 bits");
  return static_cast<unsigned>(items);
}

inline PoolShape shape_of(const ConvGeometry& window, const Layout& input, const Layout& output) {
  require(input.stride == output.stride, "pooled tensors are stored with the same channels");
  auto shape = pool_shape<PoolShape>(window, input, output);
  shape.images = input.images;
  shape.channels = static_cast<int>(input.stride);
  return shape;
}

}  // namespace simclr::cuda
