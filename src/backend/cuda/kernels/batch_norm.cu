// Batch normalization, forward: statistics, from sums to coefficients, application; and the second
// stage of all its sums.
//
// Precision of plain sums, in f32: with u = 2^-24 an error of k u in them is one of k u (1 + r^2)
// in the variance, r the ratio of mean to standard deviation, whatever the shift. Activations in
// f16 have rounding errors of 2^-11 of their own size, which is r 2^-11 of the deviation: where
// k u (1 + r^2) would count, they hold little but rounding.

#include <algorithm>
#include <bit>
#include <limits>

#include "batch_norm.cuh"

namespace simclr::cuda {

namespace {

template <class T>
__global__ void __launch_bounds__(kMostTileThreads, 3)
    statistics_kernel(RowTiles tiles, const T* __restrict__ y, const float* __restrict__ shift,
                      double* __restrict__ partials) {
  __shared__ SliceTable<T, 1, kMostSumLanes> table;
  const ThreadTile tile = thread_tile<T>(tiles);
  table.fill(tiles, tile, [&](int channel, float(&of)[1]) { of[0] = shift[channel]; });
  float shifts[kPackSize<T>];
  table.read(0, shifts);

  ThreadSums<T> sums;
  for_each_rows<4>(tile, [&]<int kRows>(std::int64_t offset, RowCount<kRows>) {
    RowPacks<T, kRows> ys;
    ys.load(y, offset, tile.row_step);
#pragma unroll
    for (int i = 0; i < kPackSize<T>; ++i) {
      float first = 0;
      float second = 0;
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const float centered = widen(ys.rows[r].values[i]) - shifts[i];
        first += centered;
        second = fmaf(centered, centered, second);
      }
      sums.first[i] += first;
      sums.second[i] += second;
    }
  });
  store_partials(tiles, tile, sums, partials);
}

// Columns of (2, C) of a block; 64 bytes of each chunk's row.
constexpr int kColumns = 8;
constexpr int kMostAdders = 128;

/// Thread (x, y) adds every blockDim.y-th chunk of column x, then the block the threads' sums as a
/// tree. Group after group: they are few.
__global__ void __launch_bounds__(kColumns* kMostAdders)
    add_partials_kernel(RowTiles tiles, const double* __restrict__ partials, BnTotals totals) {
  __shared__ double sums[kMostAdders][kColumns];
  const int adder = static_cast<int>(threadIdx.y);
  const int adders = static_cast<int>(blockDim.y);
  const int x = static_cast<int>(threadIdx.x);
  const int columns = 2 * tiles.channels;
  const int column = static_cast<int>(blockIdx.x) * kColumns + x;
  const bool is_second = column >= tiles.channels;
  const int channel = is_second ? column - tiles.channels : column;
  const int chunks = tiles.repeats * tiles.chunks;
  double total = 0;
  for (int group = 0; group < tiles.groups; ++group) {
    const double* of_group = partials + std::int64_t{group} * chunks * columns + column;
    double sum = 0;
    if (column < columns) {
#pragma unroll 8
      for (int chunk = adder; chunk < chunks; chunk += adders) {
        sum += of_group[std::int64_t{chunk} * columns];
      }
    }
    sums[adder][x] = sum;
    __syncthreads();
    for (int distance = adders / 2; distance > 0; distance /= 2) {
      if (adder < distance) sums[adder][x] += sums[adder + distance][x];
      __syncthreads();
    }
    if (adder == 0 && column < columns) {
      sum = sums[0][x];
      if (is_second && totals.saved != nullptr) {
        sum *= totals.saved[(group * 2 + 1) * tiles.channels + channel];
      }
      totals.sums[group * columns + column] = sum;
      total += sum;
    }
    __syncthreads();
  }
  float* gradient = is_second ? totals.dgamma : totals.dbeta;
  if (adder == 0 && column < columns && gradient != nullptr) {
    gradient[channel] = static_cast<float>(total);
  }
}

// Square roots and divisions in f64 take long: few threads a block, many multiprocessors.
constexpr unsigned kThreads = 64;

/// What a convolution has summed up: `sums` f32 (2, stride) of y and y^2 over `rows` rows, as stats
/// f64 (1,2,C) about a shift.
struct PlainSums {
  int channels = 1;
  int stride = 1;
  double rows = 1;
  const float* sums = nullptr;
};
__global__ void __launch_bounds__(kThreads)
    shift_sums_kernel(PlainSums plain, const float* shift, double* stats) {
  const int c = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (c >= plain.channels) return;
  const double s = shift[c];
  const double sum = plain.sums[c];
  const double squares = plain.sums[plain.stride + c];
  stats[c] = sum - plain.rows * s;
  stats[plain.channels + c] = squares - s * (2 * sum - plain.rows * s);
}

/// Inference has neither groups, statistics nor what is saved.
struct CoefficientOperands {
  int channels = 1;
  int groups = 1;
  double count = 1, epsilon = 0, momentum = 0;
  const double* stats = nullptr;
  const float* gamma = nullptr;
  const float* beta = nullptr;  ///< or null
  float* running_mean = nullptr;
  float* running_var = nullptr;
  float* affine = nullptr;
  float* saved = nullptr;
};
__global__ void __launch_bounds__(kThreads) finalize_kernel(CoefficientOperands o) {
  const int c = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (c >= o.channels) return;
  const double gamma = o.gamma[c];
  const double beta = o.beta == nullptr ? 0 : o.beta[c];
  const double shift = o.running_mean[c];  // the one BnStatistics used
  double mean_of_groups = 0;
  double var_of_groups = 0;
  for (int g = 0; g < o.groups; ++g) {
    const int first = g * 2 * o.channels + c;
    const int second = first + o.channels;
    const double offset = o.stats[first] / o.count;
    const double difference = o.stats[second] / o.count - offset * offset;
    const double var = difference < 0 ? 0 : difference;  // rounding only; NaN stays
    const double mean = shift + offset;
    const double istd = 1 / sqrt(var + o.epsilon);
    const double scale = gamma * istd;
    o.affine[first] = static_cast<float>(scale);
    o.affine[second] = static_cast<float>(beta - mean * scale);
    o.saved[first] = static_cast<float>(mean);
    o.saved[second] = static_cast<float>(istd);
    mean_of_groups += mean;
    var_of_groups += var;
  }
  const double unbiased = o.count / (o.count > 1 ? o.count - 1 : 1);
  const double of_mean = o.momentum / o.groups;
  const double of_var = of_mean * unbiased;
  o.running_mean[c] = static_cast<float>((1 - o.momentum) * shift + of_mean * mean_of_groups);
  o.running_var[c] =
      static_cast<float>((1 - o.momentum) * o.running_var[c] + of_var * var_of_groups);
}

__global__ void __launch_bounds__(kThreads) inference_kernel(CoefficientOperands o) {
  const int c = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (c >= o.channels) return;
  const double scale = o.gamma[c] / sqrt(o.running_var[c] + o.epsilon);
  const double beta = o.beta == nullptr ? 0 : o.beta[c];
  o.affine[c] = static_cast<float>(scale);
  o.affine[o.channels + c] = static_cast<float>(beta - o.running_mean[c] * scale);
}

/// What is added before the ReLU.
enum class Residual { none, plain, affine };

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

  for_each_rows<4>(tile, [&]<int kRows>(std::int64_t offset, RowCount<kRows>) {
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

void bn_add_partials(const RowTiles& tiles, const double* partials, const BnTotals& totals,
                     cudaStream_t stream) {
  // About eight chunks a thread, all under way at once; a power of two for the tree.
  const auto chunks = static_cast<unsigned>(tiles.chunks_of_group());
  const unsigned adders = std::min<unsigned>(std::bit_ceil(ceil_div(chunks, 8U)), kMostAdders);
  const auto blocks = static_cast<unsigned>(ceil_div(2 * tiles.channels, kColumns));
  launch(add_partials_kernel, {.grid = dim3(blocks), .block = dim3(kColumns, std::max(adders, 4U))},
         stream, tiles, partials, totals);
}

std::size_t bn_statistics_bytes(const Layout& y_layout, const BnGroups& groups) {
  return bn_partial_bytes(tiles_for_sums(y_layout, groups));
}

void bn_statistics(const Layout& y_layout, const BnGroups& groups, const std::byte* y,
                   const float* shift, std::byte* workspace, double* stats, cudaStream_t stream) {
  const RowTiles tiles = tiles_for_sums(y_layout, groups);
  auto* partials = reinterpret_cast<double*>(workspace);
  with_activation_type(y_layout.dtype, [&]<class T>(T) {
    launch(statistics_kernel<T>, launch_shape(tiles), stream, tiles, reinterpret_cast<const T*>(y),
           shift, partials);
  });
  bn_add_partials(tiles, partials, {.sums = stats}, stream);
}

Prepared prepare(const BnStatistics& op, const Context& context) {
  const TensorView y = context.tensor(op.y);
  const auto* shift = context.values<float>(op.running_mean);
  auto* stats = context.values<double>(op.stats);
  const cudaStream_t stream = context.stream();
  if (const auto offset = sums_taken_along(op, context)) {
    PlainSums plain{.channels = static_cast<int>(y.layout.channels),
                    .stride = static_cast<int>(y.layout.stride),
                    .rows = static_cast<double>(y.layout.rows())};
    constexpr std::size_t kNone = 0;  // the convolution asks for it
    return make_step(kNone, [=](Workspace workspace) mutable {
      plain.sums = reinterpret_cast<const float*>(workspace.data() + *offset);
      launch(shift_sums_kernel, one_thread_each(plain.channels, kThreads), stream, plain, shift,
             stats);
    });
  }
  return make_step(
      bn_statistics_bytes(y.layout, op.groups), [=, groups = op.groups](Workspace workspace) {
        bn_statistics(y.layout, groups, y.data, shift, workspace.data(), stats, stream);
      });
}

Prepared prepare(const BnFinalize& op, const Context& context) {
  const CoefficientOperands operands{
      .channels = static_cast<int>(context.layout(op.gamma).channels),
      .groups = op.groups,
      .count = op.count,
      .epsilon = op.epsilon,
      .momentum = op.momentum,
      .stats = context.values<double>(op.stats),
      .gamma = context.values<float>(op.gamma),
      .beta = context.values<float>(op.beta),
      .running_mean = context.values<float>(op.running_mean),
      .running_var = context.values<float>(op.running_var),
      .affine = context.values<float>(op.affine),
      .saved = context.values<float>(op.saved)};
  return make_step([=, stream = context.stream()] {
    launch(finalize_kernel, one_thread_each(operands.channels, kThreads), stream, operands);
  });
}

Prepared prepare(const BnInference& op, const Context& context) {
  const CoefficientOperands operands{
      .channels = static_cast<int>(context.layout(op.gamma).channels),
      .epsilon = op.epsilon,
      .gamma = context.values<float>(op.gamma),
      .beta = context.values<float>(op.beta),
      .running_mean = context.values<float>(op.running_mean),
      .running_var = context.values<float>(op.running_var),
      .affine = context.values<float>(op.affine)};
  return make_step([=, stream = context.stream()] {
    launch(inference_kernel, one_thread_each(operands.channels, kThreads), stream, operands);
  });
}

Prepared prepare(const BnApply& op, const Context& context) {
  const TensorView y = context.tensor(op.y);
  const RowTiles tiles = tiles_for_elements(y.layout, op.groups);
  const auto* affine = context.values<float>(op.affine);
  const auto* residual_affine = context.values<float>(op.residual_affine);
  const float least = op.relu ? 0.0F : -std::numeric_limits<float>::infinity();
  return with_activation_type(y.layout.dtype, [&]<class T>(T) {
    const auto* residual = context.values<T>(op.residual);
    auto* z = context.values<T>(op.z);
    const auto kernel = residual == nullptr          ? apply_kernel<T, Residual::none>
                        : residual_affine == nullptr ? apply_kernel<T, Residual::plain>
                                                     : apply_kernel<T, Residual::affine>;
    return make_step([=, y = y.as<T>(), stream = context.stream()] {
      launch(kernel, launch_shape(tiles), stream, tiles, y, affine, residual, residual_affine,
             least, z);
    });
  });
}

}  // namespace simclr::cuda
