#pragma once
// Color jitter, grayscale and blur of a view laid out in strips (view_job.hpp), and the way from
// strips back to rows of pixels in the type of the view.

#include "simclr/augment/pixels.hpp"
#include "simclr/core/simd.hpp"
#include "view_job.hpp"

namespace simclr::SIMCLR_ISA {

using namespace augment;

/// Floats of one column of a strip: a vector for each channel.
inline constexpr Index kColumn = Index{3} * kWidth;

// ---- color --------------------------------------------------------------------------------------
// Only contrast looks beyond its pixel: it needs the mean of the view as the ops before it left it,
// so the four ops run in two sweeps, cut before contrast.

/// Ops [begin, end) of the jitter order, then grayscale; together one sweep over a strip.
struct ColorSweep {
  int begin = 0;
  int end = 0;
  bool gray = false;
  bool sum_luma = false;
  float mean_luma = 0;
};

SIMCLR_HD_INLINE Rgb<VecF> apply_color_op(ColorOp op, const ViewJob& job, float mean_luma,
                                          Rgb<VecF> p) {
  const ViewParameters& view = job.parameters;
  switch (op) {
    case ColorOp::brightness:
      return job.additive_brightness ? add_brightness(p, view.brightness)
                                     : adjust_brightness(p, view.brightness);
    case ColorOp::contrast:
      return adjust_contrast(p, mean_luma, view.contrast);
    case ColorOp::saturation:
      return adjust_saturation(p, view.saturation);
    case ColorOp::hue:
      return adjust_hue(p, view.hue);
  }
  return p;
}

/// Returns the sum of luma of the first `rows` lanes where the sweep asks for it.
inline double sweep_strip(const ViewJob& job, const ColorSweep& sweep, float* strip, int columns,
                          int rows) {
  VecF sum{};
  for (int x = 0; x < columns; ++x) {
    float* at = strip + x * kColumn;
    Rgb<VecF> p = {load(at), load(at + kWidth), load(at + Index{2} * kWidth)};
    for (int i = sweep.begin; i < sweep.end; ++i) {
      p = apply_color_op(job.parameters.order[i], job, sweep.mean_luma, p);
    }
    if (sweep.gray) {
      const VecF gray = luma(p);
      p = {gray, gray, gray};
    }
    if (sweep.sum_luma) sum += luma(p);
    store(at, p.r);
    store(at + kWidth, p.g);
    store(at + Index{2} * kWidth, p.b);
  }
  double total = 0;  // lane by lane: one order, whatever the thread count
  for (int lane = 0; lane < rows; ++lane) total += double{sum[lane]};
  return total;
}

// ---- blur ---------------------------------------------------------------------------------------
// Separable and Gaussian, with reflected edges. The horizontal pass runs on strips and the vertical
// one on rows, so that every tap is a whole vector.

inline constexpr int kMaxBlurRadius = 256;

/// weight[t], t = 0 .. 2 * radius.
struct BlurKernel {
  int radius = 0;
  float weight[2 * kMaxBlurRadius + 1] = {};
};

inline void make_blur_kernel(int largest_radius, float sigma, BlurKernel& kernel) {
  kernel.radius = blur_radius(largest_radius, sigma);
  float sum = 1.0F;
  for (int i = 1; i <= kernel.radius; ++i) sum += 2.0F * gaussian(i, sigma);
  for (int t = 0; t <= 2 * kernel.radius; ++t) {
    kernel.weight[t] = gaussian(t - kernel.radius, sigma) / sum;
  }
}

/// Fills the margins of a strip with its mirrored columns. strip: its first column inside the
/// margin.
inline void reflect_margins(float* strip, Index columns, Index radius) {
  for (Index x = 1; x <= radius; ++x) {
    __builtin_memcpy(strip - x * kColumn, strip + x * kColumn, kColumn * sizeof(float));
    const Index mirrored = reflect_index(columns - 1 + x, columns);
    __builtin_memcpy(strip + (columns - 1 + x) * kColumn, strip + mirrored * kColumn,
                     kColumn * sizeof(float));
  }
}

/// kWidth values of a row, normalized and rounded to T; `at` counts values from the row's start.
template <class T>
SIMCLR_HD_INLINE void store_normalized(T* to, VecF values, Normalization normalization, Index at) {
  if (normalization.mean != nullptr) {
    const Index channel = at % 3;
    values = (values - load(normalization.mean + channel)) / load(normalization.std + channel);
  }
  store(to, values);
}

/// kWidth adjacent values (column, channel) of a strip from value `at` of its rows on, horizontally
/// blurred unless radius is 0, as rows: `rows` of them (at most kWidth) are written to out,
/// row_values apart.
template <class T>
SIMCLR_HD_INLINE void write_block(const float* strip, const BlurKernel& kernel,
                                  Normalization normalization, Index at, T* out, Index row_values,
                                  int rows) {
  VecF block[kWidth];
  if (kernel.radius == 0) {
    for (int i = 0; i < kWidth; ++i) block[i] = load(strip + Index{i} * kWidth);
  } else {
    for (VecF& sum : block) sum = VecF{};
    const float* source = strip - kernel.radius * kColumn;
    for (int t = 0; t <= 2 * kernel.radius; ++t, source += kColumn) {
      const float weight = kernel.weight[t];
      for (int i = 0; i < kWidth; ++i) block[i] += weight * load(source + Index{i} * kWidth);
    }
  }
  transpose(block);
  for (int lane = 0; lane < rows; ++lane) {
    store_normalized(out + lane * row_values, block[lane], normalization, at);
  }
}

/// A strip as rows of interleaved pixels; needs row_values >= kWidth.
template <class T>
void write_rows(const float* strip, const BlurKernel& kernel, Normalization normalization, T* out,
                Index row_values, int rows) {
  const auto write = [&](Index at) {
    write_block(strip + at * kWidth, kernel, normalization, at, out + at, row_values, rows);
  };
  Index at = 0;
  for (; at + kWidth <= row_values; at += kWidth) write(at);
  if (at < row_values) write(row_values - kWidth);  // overlaps the block before
}

template <int kVectors, class T>
SIMCLR_HD_INLINE void blur_column_block(const float* rows, const BlurKernel& kernel, int y,
                                        Index row_values, int height, Normalization normalization,
                                        Index at, T* out) {
  VecF sum[kVectors] = {};
  for (int t = 0; t <= 2 * kernel.radius; ++t) {
    const float* source = rows + reflect_index(y + t - kernel.radius, height) * row_values + at;
    for (int v = 0; v < kVectors; ++v)
      sum[v] += kernel.weight[t] * load(source + Index{v} * kWidth);
  }
  for (int v = 0; v < kVectors; ++v) {
    const Index offset = at + Index{v} * kWidth;
    store_normalized(out + offset, sum[v], normalization, offset);
  }
}

/// Vertical pass. rows, out: (height, row_values).
template <class T>
void blur_columns(const float* rows, const BlurKernel& kernel, Index row_values, int height,
                  Normalization normalization, T* out) {
  constexpr int kVectors = 8;
  constexpr Index kBlock = Index{kVectors} * kWidth;
  for (int y = 0; y < height; ++y) {
    T* out_row = out + y * row_values;
    Index at = 0;
    for (; at + kBlock <= row_values; at += kBlock) {
      blur_column_block<kVectors>(rows, kernel, y, row_values, height, normalization, at, out_row);
    }
    for (; at < row_values; at += kWidth) {
      at = at + kWidth <= row_values ? at : row_values - kWidth;
      blur_column_block<1>(rows, kernel, y, row_values, height, normalization, at, out_row);
    }
  }
}

}  // namespace simclr::SIMCLR_ISA
