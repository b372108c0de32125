// Batch normalization: sums of the backward pass.

#include "batch_norm.hpp"
#include "batch_norm_sums.cuh"

namespace simclr::cuda {

namespace {

/// What says where the ReLU passed.
enum class Mask { none, affine, output };

template <class T, Mask mask, bool kHasOther>
__global__ void __launch_bounds__(kMostTileThreads, 2)
    reduce_kernel(RowTiles tiles, T* dz, const T* __restrict__ dz_other, const T* __restrict__ z,
                  const T* __restrict__ y, BnReduceOperands operands) {
  constexpr bool kReadsOutput = mask == Mask::output;
  constexpr int kTensors = 2 + (kHasOther ? 1 : 0) + (kReadsOutput ? 1 : 0);
  constexpr int kRowsAtOnce = kTensors == 2 ? 4 : 2;
  constexpr int kVectors = mask == Mask::affine ? 3 : 1;
  __shared__ SliceTable<T, kVectors, kMostSumLanes> table;
  const ThreadTile tile = thread_tile<T>(tiles);
  const int first = tile.group * 2 * tiles.channels;
  table.fill(tiles, tile, [&](int channel, float(&of)[kVectors]) {
    of[0] = operands.saved[first + channel];
    if constexpr (mask == Mask::affine) {
      of[1] = operands.affine[first + channel];
      of[2] = operands.affine[first + tiles.channels + channel];
    }
  });
  float mean[kPackSize<T>];
  float scale[kPackSize<T>];
  float shift[kPackSize<T>];
  table.read(0, mean);
  if constexpr (mask == Mask::affine) {
    table.read(1, scale);
    table.read(2, shift);
  }

  ThreadSums<T> sums;
  for_each_rows<kRowsAtOnce>(tile, [&]<int kRows>(std::int64_t offset, RowCount<kRows>) {
    RowPacks<T, kRows> dzs;
    RowPacks<T, kRows> ys;
    RowPacks<T, kRows> others;
    RowPacks<T, kRows> zs;
    dzs.load(dz, offset, tile.row_step);
    ys.load(y, offset, tile.row_step);
    if constexpr (kHasOther) others.load(dz_other, offset, tile.row_step);
    if constexpr (kReadsOutput) zs.load(z, offset, tile.row_step);
#pragma unroll
    for (int i = 0; i < kPackSize<T>; ++i) {
      float of_g = 0;
      float of_product = 0;
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        float g = widen(dzs.rows[r].values[i]);
        if constexpr (kHasOther) g += widen(others.rows[r].values[i]);
        const float value = widen(ys.rows[r].values[i]);
        if constexpr (mask == Mask::affine) g = fmaf(scale[i], value, shift[i]) > 0 ? g : 0;
        if constexpr (kReadsOutput) g = widen(zs.rows[r].values[i]) > 0 ? g : 0;
        of_g += g;
        of_product = fmaf(g, value - mean[i], of_product);
        dzs.rows[r].values[i] = narrow<T>(g);
      }
      sums.first[i] += of_g;
      sums.second[i] += of_product;
    }
    if (operands.write_back) dzs.store(dz, offset, tile.row_step);
  });
  store_partials(tiles, tile, sums, operands.partials);
}

template <class T, Mask mask>
void start(const RowTiles& tiles, T* dz, const T* dz_other, const T* z, const T* y,
           const BnReduceOperands& operands, cudaStream_t stream) {
  const auto kernel =
      dz_other == nullptr ? reduce_kernel<T, mask, false> : reduce_kernel<T, mask, true>;
  launch(kernel, launch_shape(tiles), stream, tiles, dz, dz_other, z, y, operands);
}

}  // namespace

template <class T>
void bn_backward_reduce(const RowTiles& tiles, T* dz, const T* dz_other, const T* z, const T* y,
                        const BnReduceOperands& operands, cudaStream_t stream) {
  const auto run = !operands.relu ? start<T, Mask::none>
                   : z == nullptr ? start<T, Mask::affine>
                                  : start<T, Mask::output>;
  run(tiles, dz, dz_other, z, y, operands, stream);
}
template void bn_backward_reduce(const RowTiles&, float*, const float*, const float*, const float*,
                                 const BnReduceOperands&, cudaStream_t);
template void bn_backward_reduce(const RowTiles&, bf16*, const bf16*, const bf16*, const bf16*,
                                 const BnReduceOperands&, cudaStream_t);
template void bn_backward_reduce(const RowTiles&, f16*, const f16*, const f16*, const f16*,
                                 const BnReduceOperands&, cudaStream_t);

}  // namespace simclr::cuda
