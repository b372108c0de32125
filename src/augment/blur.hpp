#pragma once
// Separable Gaussian blur with reflected edges, and the way from strips back to rows of pixels in
// the type of the view. The horizontal pass runs on strips and the vertical one on rows, so that
// every tap is a whole vector.

#include "lanes.hpp"
#include "simclr/augment/pixels.hpp"
#include "view_job.hpp"

namespace simclr::augment::SIMCLR_LANES_NAMESPACE {

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

/// kLanes values of a row, normalized and rounded to T; `at` counts values from the row's start.
template <class T>
SIMCLR_HD_INLINE void store_normalized(T* to, Lanes values, Normalization normalization, Index at) {
  if (normalization.mean != nullptr) {
    const Index channel = at % 3;
    values = (values - load(normalization.mean + channel)) / load(normalization.std + channel);
  }
  store(to, values);
}

/// kLanes adjacent values (column, channel) of a strip from value `at` of its rows on, horizontally
/// blurred unless radius is 0, as rows: `rows` of them (at most kLanes) are written to out,
/// row_values apart.
template <class T>
SIMCLR_HD_INLINE void write_block(const float* strip, const BlurKernel& kernel,
                                  Normalization normalization, Index at, T* out, Index row_values,
                                  int rows) {
  Lanes block[kLanes];
  if (kernel.radius == 0) {
    for (int i = 0; i < kLanes; ++i) block[i] = load(strip + Index{i} * kLanes);
  } else {
    for (Lanes& sum : block) sum = Lanes{};
    const float* source = strip - kernel.radius * kColumn;
    for (int t = 0; t <= 2 * kernel.radius; ++t, source += kColumn) {
      const float weight = kernel.weight[t];
      for (int i = 0; i < kLanes; ++i) block[i] += weight * load(source + Index{i} * kLanes);
    }
  }
  transpose(block);
  for (int lane = 0; lane < rows; ++lane) {
    store_normalized(out + lane * row_values, block[lane], normalization, at);
  }
}

/// A strip as rows of interleaved pixels; needs row_values >= kLanes.
template <class T>
void write_rows(const float* strip, const BlurKernel& kernel, Normalization normalization, T* out,
                Index row_values, int rows) {
  const auto write = [&](Index at) {
    write_block(strip + at * kLanes, kernel, normalization, at, out + at, row_values, rows);
  };
  Index at = 0;
  for (; at + kLanes <= row_values; at += kLanes) write(at);
  if (at < row_values) write(row_values - kLanes);  // overlaps the block before
}

template <int kVectors, class T>
SIMCLR_HD_INLINE void blur_column_block(const float* rows, const BlurKernel& kernel, int y,
                                        Index row_values, int height, Normalization normalization,
                                        Index at, T* out) {
  Lanes sum[kVectors] = {};
  for (int t = 0; t <= 2 * kernel.radius; ++t) {
    const float* source = rows + reflect_index(y + t - kernel.radius, height) * row_values + at;
    for (int v = 0; v < kVectors; ++v)
      sum[v] += kernel.weight[t] * load(source + Index{v} * kLanes);
  }
  for (int v = 0; v < kVectors; ++v) {
    const Index offset = at + Index{v} * kLanes;
    store_normalized(out + offset, sum[v], normalization, offset);
  }
}

/// Vertical pass. rows, out: (height, row_values).
template <class T>
void blur_columns(const float* rows, const BlurKernel& kernel, Index row_values, int height,
                  Normalization normalization, T* out) {
  constexpr int kVectors = 8;
  constexpr Index kBlock = Index{kVectors} * kLanes;
  for (int y = 0; y < height; ++y) {
    T* out_row = out + y * row_values;
    Index at = 0;
    for (; at + kBlock <= row_values; at += kBlock) {
      blur_column_block<kVectors>(rows, kernel, y, row_values, height, normalization, at, out_row);
    }
    for (; at < row_values; at += kLanes) {
      at = at + kLanes <= row_values ? at : row_values - kLanes;
      blur_column_block<1>(rows, kernel, y, row_values, height, normalization, at, out_row);
    }
  }
}

}  // namespace simclr::augment::SIMCLR_LANES_NAMESPACE
