#pragma once
// Antialiased separable resampling from interleaved bytes into strips. The vertical pass works
// along rows (lanes are columns), then a transposition, then the horizontal pass (lanes are rows):
// every load and store is contiguous, whatever the scale.

#include "strips.hpp"

namespace simclr::SIMCLR_ISA {

SIMCLR_HD_INLINE VecF iota() {
  VecF lanes;
  for (int i = 0; i < kWidth; ++i) lanes[i] = static_cast<float>(i);
  return lanes;
}

/// Weights as PyTorch's antialiased interpolation computes them (half-pixel centers, taps outside
/// the signal dropped, then normalized to add up to `total`).
inline void make_taps(const Axis& axis, Interpolation interpolation, float total,
                      const TapTable& table) {
  const float scale = static_cast<float>(axis.in) / static_cast<float>(axis.out);
  const float stretch = scale > 1.0F ? scale : 1.0F;
  const float support = (interpolation == Interpolation::bicubic ? 2.0F : 1.0F) * stretch;
  const auto last_start = static_cast<float>(axis.in - table.taps);
  for (int i = 0; i < axis.count; i += kWidth) {
    const VecF output = iota() + (static_cast<float>(axis.first + i) + 0.5F);
    const VecF center = scale * output;
    const VecF earliest = larger(center - support + 0.5F, VecF{});
    const VecI whole = __builtin_convertvector(earliest, VecI);
    const VecF start = smaller(to_float(whole), VecF{} + last_start);
    const VecI first = __builtin_convertvector(start, VecI);
    __builtin_memcpy(table.start + i, &first, sizeof first);
    VecF sum{};
    for (int t = 0; t < table.taps; ++t) {
      const VecF distance = (start + static_cast<float>(t) - center + 0.5F) / stretch;
      const VecF weight = interpolation == Interpolation::bicubic ? cubic_filter(distance)
                                                                  : triangle_filter(distance);
      store(table.weight + Index{t} * table.stride + i, weight);
      sum += weight;
    }
    const VecF norm = total / sum;
    for (int t = 0; t < table.taps; ++t) {
      float* weight = table.weight + Index{t} * table.stride + i;
      store(weight, load(weight) * norm);
    }
  }
}

/// One tap an output with weight 1: the axis only copies.
inline void make_copy_taps(const Axis& axis, const TapTable& table) {
  for (int i = 0; i < axis.count; ++i) {
    table.start[i] = axis.first + i;
    table.weight[i] = 1.0F;
  }
}

/// Vertical pass over kVectors * kWidth adjacent bytes: kWidth output rows from `first_row` on (the
/// last row repeats), transposed into `window`. `readable` bytes may be read from `column` on.
template <int kVectors>
SIMCLR_HD_INLINE void blend_rows(const ViewJob& job, const TapTable& taps, int first_row,
                                 const std::uint8_t* column, int readable, float* window) {
  VecF block[kVectors][kWidth];
  for (int lane = 0; lane < kWidth; ++lane) {
    const int last = job.rows.count - 1;
    const int row = first_row + lane < last ? first_row + lane : last;
    const std::uint8_t* source = column + taps.start[row] * job.row_bytes;
    VecF sum[kVectors] = {};
    if (job.resample) {
      for (int t = 0; t < taps.taps; ++t, source += job.row_bytes) {
        const float weight = taps.weight[Index{t} * taps.stride + row];
        for (int v = 0; v < kVectors; ++v) {
          sum[v] += weight * load_bytes(source + Index{v} * kWidth, readable - v * kWidth);
        }
      }
    } else {
      for (int v = 0; v < kVectors; ++v) {
        sum[v] = load_bytes(source + Index{v} * kWidth, readable - v * kWidth) / 255.0F;
      }
    }
    for (int v = 0; v < kVectors; ++v) block[v][lane] = sum[v];
  }
  for (int v = 0; v < kVectors; ++v) {
    transpose(block[v]);
    for (int i = 0; i < kWidth; ++i) store(window + (Index{v} * kWidth + i) * kWidth, block[v][i]);
  }
}

inline void fill_window(const ViewJob& job, const TapTable& taps, int first_row, float* window) {
  constexpr int kVectors = 4;
  constexpr Index kBlock = Index{kVectors} * kWidth;
  const Index width = Index{3} * job.columns.in;
  Index at = 0;
  for (; at + kBlock <= width; at += kBlock) {
    blend_rows<kVectors>(job, taps, first_row, job.pixels + at, kVectors * kWidth,
                         window + at * kWidth);
  }
  for (; at + kWidth <= width; at += kWidth) {
    blend_rows<1>(job, taps, first_row, job.pixels + at, kWidth, window + at * kWidth);
  }
  if (at < width && width >= kWidth) {  // the last bytes once more, together with earlier ones
    at = width - kWidth;
    blend_rows<1>(job, taps, first_row, job.pixels + at, kWidth, window + at * kWidth);
  } else if (at < width) {
    blend_rows<1>(job, taps, first_row, job.pixels, static_cast<int>(width), window);
  }
}

/// Horizontal pass over one strip, clamped to [0, 1] (bicubic overshoots).
inline void resample_columns(const Axis& axis, const TapTable& taps, const float* window,
                             float* strip) {
  for (int x = 0; x < axis.count; ++x) {
    const int i = axis.mirrored ? axis.count - 1 - x : x;
    const float* source = window + taps.start[i] * kColumn;
    Rgb<VecF> sum{};
    for (int t = 0; t < taps.taps; ++t, source += kColumn) {
      const float weight = taps.weight[Index{t} * taps.stride + i];
      sum.r += weight * load(source);
      sum.g += weight * load(source + kWidth);
      sum.b += weight * load(source + Index{2} * kWidth);
    }
    float* out = strip + x * kColumn;
    store(out, clamp01(sum.r));
    store(out + kWidth, clamp01(sum.g));
    store(out + Index{2} * kWidth, clamp01(sum.b));
  }
}

}  // namespace simclr::SIMCLR_ISA
