// Batch normalization, backward: its sums, and the gradient of its input.

#include "batch_norm.cuh"

namespace simclr::cuda {

namespace {

struct ReduceOperands {
  bool write_back = false;
  const float* affine = nullptr;
  const float* saved = nullptr;
  double* partials = nullptr;  ///< f64 (all chunks, 2, C): sums of g and of g * (y - mean)
};

/// What says where the ReLU passed.
enum class Mask { none, affine, output };

template <class T, Mask mask, bool kHasOther>
__global__ void __launch_bounds__(kMostTileThreads, 2)
    reduce_kernel(RowTiles tiles, T* dz, const T* __restrict__ dz_other, const T* __restrict__ z,
                  const T* __restrict__ y, ReduceOperands operands) {
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
auto choose_reduce_kernel(bool has_other) {
  return has_other ? reduce_kernel<T, mask, true> : reduce_kernel<T, mask, false>;
}

struct GradientOperands {
  double inverse_count = 1;
  const float* affine = nullptr;
  const float* saved = nullptr;
  const float* gamma = nullptr;
  const double* sums = nullptr;
};

// dy = of_g*g + (of_y*(y - mean) + constant)
template <class T, bool kRelu>
__global__ void __launch_bounds__(kMostTileThreads, 2)
    gradient_kernel(RowTiles tiles, const T* __restrict__ dz, const T* __restrict__ y,
                    GradientOperands operands, T* __restrict__ dy) {
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

  for_each_rows<4>(tile, [&]<int kRows>(std::int64_t offset, RowCount<kRows>) {
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

Prepared prepare(const BnBackwardReduce& op, const Context& context) {
  const TensorView y = context.tensor(op.y);
  const RowTiles tiles = tiles_for_sums(y.layout, op.groups);
  ReduceOperands operands{.write_back = op.write_back,
                          .affine = context.values<float>(op.affine),
                          .saved = context.values<float>(op.saved)};
  const BnTotals totals{.sums = context.values<double>(op.sums),
                        .saved = operands.saved,
                        .dgamma = context.values<float>(op.dgamma),
                        .dbeta = context.values<float>(op.dbeta)};
  return with_activation_type(y.layout.dtype, [&]<class T>(T) {
    auto* dz = context.values<T>(op.dz);
    const auto* dz_other = context.values<T>(op.dz_other);
    const auto* z = context.values<T>(op.z);
    const bool has_other = dz_other != nullptr;
    const auto kernel = !op.relu       ? choose_reduce_kernel<T, Mask::none>(has_other)
                        : z == nullptr ? choose_reduce_kernel<T, Mask::affine>(has_other)
                                       : choose_reduce_kernel<T, Mask::output>(has_other);
    return make_step(bn_partial_bytes(tiles), [=, y = y.as<T>(), stream = context.stream()](
                                                  Workspace workspace) mutable {
      operands.partials = reinterpret_cast<double*>(workspace.data());
      launch(kernel, launch_shape(tiles), stream, tiles, dz, dz_other, z, y, operands);
      bn_add_partials(tiles, operands.partials, totals, stream);
    });
  });
}

Prepared prepare(const BnBackwardApply& op, const Context& context) {
  const TensorView y = context.tensor(op.y);
  const RowTiles tiles = tiles_for_elements(y.layout, op.groups);
  const GradientOperands operands{.inverse_count = 1 / op.count,
                                  .affine = context.values<float>(op.affine),
                                  .saved = context.values<float>(op.saved),
                                  .gamma = context.values<float>(op.gamma),
                                  .sums = context.values<double>(op.sums)};
  return with_activation_type(y.layout.dtype, [&]<class T>(T) {
    const auto* dz = context.values<T>(op.dz);
    auto* dy = context.values<T>(op.dy);
    const auto kernel = op.relu ? gradient_kernel<T, true> : gradient_kernel<T, false>;
    return make_step([=, y = y.as<T>(), stream = context.stream()] {
      launch(kernel, launch_shape(tiles), stream, tiles, dz, y, operands, dy);
    });
  });
}

}  // namespace simclr::cuda
