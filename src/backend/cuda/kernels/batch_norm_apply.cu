// Batch normalization: scale, shift, residual and ReLU in one pass.

#include <limits>

#include "batch_norm.hpp"
#include "row_tiles.cuh"

namespace simclr::cuda {

namespace {

enum class Residual { none, plain, affine };

constexpr int kRowsAtOnce = 4;

template <class T, Residual residual_kind>
__global__ void __launch_bounds__(kMostTileThreads, 3)
    apply_kernel(RowTiles tiles, const T* __restrict__ y, const float* __restrict__ affine,
                 const T* __restrict__ residual, const float* __restrict__ residual_affine,
                 float least, T* __restrict__ z) {
  constexpr bool kHasResidual = residual_kind != Residual::none;
  constexpr bool kHasAffine = residual_kind == Residual::affine;
  constexpr int kVectors = kHasAffine ? 3 : 2;
  __shared__ SliceTable<T, kVectors, kMostElementLanes> table;
  const ThreadTile tile = thread_tile<T>(tiles);
  const int first = tile.group * 2 * tiles.channels;
  const int second = first + tiles.channels;
  // z = scale*y + (residual_scale*residual + (shift + residual_shift))
  table.fill(tiles, tile, [&](int channel, float(&of)[kVectors]) {
    of[0] = affine[first + channel];
    of[1] = affine[second + channel];
    if constexpr (kHasAffine) {
      of[1] += residual_affine[second + channel];
      of[2] = residual_affine[first + channel];
    }
  });
  float scale[kPackSize<T>];
  float shift[kPackSize<T>];
  float residual_scale[kPackSize<T>];
  table.read(0, scale);
  table.read(1, shift);
  if constexpr (kHasAffine) table.read(2, residual_scale);

  for_each_rows<kRowsAtOnce>(tile, [&]<int kRows>(std::int64_t offset, RowCount<kRows>) {
    RowPacks<T, kRows> ys;
    RowPacks<T, kRows> residuals;
    ys.load(y, offset, tile.row_step);
    if constexpr (kHasResidual) residuals.load(residual, offset, tile.row_step);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int i = 0; i < kPackSize<T>; ++i) {
        float added = shift[i];
        if constexpr (kHasResidual) {
          const float of_residual = widen(residuals.rows[r].values[i]);
          added = kHasAffine ? fmaf(residual_scale[i], of_residual, added) : added + of_residual;
        }
        const float value = fmaf(scale[i], widen(ys.rows[r].values[i]), added);
        ys.rows[r].values[i] = narrow<T>(value < least ? least : value);  // NaN stays
      }
    }
    ys.store(z, offset, tile.row_step);
  });
}

}  // namespace

template <class T>
void bn_apply(const RowTiles& tiles, const T* y, const float* affine, const T* residual,
              const float* residual_affine, bool relu, T* z, cudaStream_t stream) {
  const float least = relu ? 0.0F : -std::numeric_limits<float>::infinity();
  const auto start = [&](auto kernel) {
    launch(kernel, launch_shape(tiles), stream, tiles, y, affine, residual, residual_affine, least,
           z);
  };
  if (residual == nullptr) return start(apply_kernel<T, Residual::none>);
  if (residual_affine == nullptr) return start(apply_kernel<T, Residual::plain>);
  start(apply_kernel<T, Residual::affine>);
}
template void bn_apply(const RowTiles&, const float*, const float*, const float*, const float*,
                       bool, float*, cudaStream_t);
template void bn_apply(const RowTiles&, const bf16*, const float*, const bf16*, const float*, bool,
                       bf16*, cudaStream_t);
template void bn_apply(const RowTiles&, const f16*, const float*, const f16*, const float*, bool,
                       f16*, cudaStream_t);

}  // namespace simclr::cuda
