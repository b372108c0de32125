// Batch normalization: the gradient of its input.

#include "batch_norm.hpp"
#include "row_tiles.cuh"

namespace simclr::cuda {

namespace {

constexpr int kRowsAtOnce = 4;

// dy = of_g*g + (of_y*(y - mean) + constant)
template <class T, bool kRelu>
__global__ void __launch_bounds__(kMostTileThreads, 2)
    gradient_kernel(RowTiles tiles, const T* __restrict__ dz, const T* __restrict__ y,
                    BnGradientOperands operands, T* __restrict__ dy) {
  constexpr int kVectors = kRelu ? 6 : 4;
  __shared__ SliceTable<T, kVectors, kMostElementLanes> table;
  const ThreadTile tile = thread_tile<T>(tiles);
  const int first = tile.group * 2 * tiles.channels;
  const int second = first + tiles.channels;
  table.fill(tiles, tile, [&](int channel, float(&of)[kVectors]) {
    const double istd = operands.saved[second + channel];
    const double scale = operands.gamma[channel] * istd;
    const double over_count = scale * operands.inverse_count;
    of[0] = static_cast<float>(scale);
    of[1] = static_cast<float>(-over_count * istd * operands.sums[second + channel]);
    of[2] = static_cast<float>(-over_count * operands.sums[first + channel]);
    of[3] = operands.saved[first + channel];
    if constexpr (kRelu) {
      of[4] = operands.affine[first + channel];
      of[5] = operands.affine[second + channel];
    }
  });
  float of_g[kPackSize<T>];
  float of_y[kPackSize<T>];
  float constant[kPackSize<T>];
  float mean[kPackSize<T>];
  float scale[kPackSize<T>];
  float shift[kPackSize<T>];
  table.read(0, of_g);
  table.read(1, of_y);
  table.read(2, constant);
  table.read(3, mean);
  if constexpr (kRelu) {
    table.read(4, scale);
    table.read(5, shift);
  }

  for_each_rows<kRowsAtOnce>(tile, [&]<int kRows>(std::int64_t offset, RowCount<kRows>) {
    RowPacks<T, kRows> dzs;
    RowPacks<T, kRows> ys;
    dzs.load(dz, offset, tile.row_step);
    ys.load(y, offset, tile.row_step);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int i = 0; i < kPackSize<T>; ++i) {
        float g = widen(dzs.rows[r].values[i]);
        const float value = widen(ys.rows[r].values[i]);
        if constexpr (kRelu) g = fmaf(scale[i], value, shift[i]) > 0 ? g : 0;
        const float of_sums = fmaf(of_y[i], value - mean[i], constant[i]);
        dzs.rows[r].values[i] = narrow<T>(fmaf(of_g[i], g, of_sums));
      }
    }
    dzs.store(dy, offset, tile.row_step);
  });
}

}  // namespace

template <class T>
void bn_backward_apply(const RowTiles& tiles, const T* dz, const T* y,
                       const BnGradientOperands& operands, T* dy, cudaStream_t stream) {
  const auto kernel = operands.relu ? gradient_kernel<T, true> : gradient_kernel<T, false>;
  launch(kernel, launch_shape(tiles), stream, tiles, dz, y, operands, dy);
}
template void bn_backward_apply(const RowTiles&, const float*, const float*,
                                const BnGradientOperands&, float*, cudaStream_t);
template void bn_backward_apply(const RowTiles&, const bf16*, const bf16*,
                                const BnGradientOperands&, bf16*, cudaStream_t);
template void bn_backward_apply(const RowTiles&, const f16*, const f16*, const BnGradientOperands&,
                                f16*, cudaStream_t);

}  // namespace simclr::cuda
