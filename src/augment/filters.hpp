#pragma once
// Vertical passes of blur and Sobel filter, from rows to rows, and their filters.

#include "strips.hpp"

namespace simclr::SIMCLR_ISA {

/// Gaussian, its sum 1; radius 0 where all other weights are negligible.
inline void make_blur_filter(int largest_radius, float sigma, Filter& filter) {
  filter.radius = blur_radius(largest_radius, sigma);
  float sum = 1.0F;
  for (int i = 1; i <= filter.radius; ++i) sum += 2.0F * gaussian(i, sigma);
  for (int t = 0; t <= 2 * filter.radius; ++t) {
    filter.weight[t] = gaussian(t - filter.radius, sigma) / sum;
  }
}

/// Calls block(at, vectors) for all row_values values of a row, many vectors at a time first: block
/// takes an offset and a number of vectors as a type. The last block may overlap the one before.
template <class Block>
SIMCLR_HD_INLINE void for_each_block(Index row_values, Block block) {
  constexpr int kVectors = 8;
  constexpr Index kBlock = Index{kVectors} * kWidth;
  Index at = 0;
  for (; at + kBlock <= row_values; at += kBlock) block.template operator()<kVectors>(at);
  for (; at < row_values; at += kWidth) {
    at = at + kWidth <= row_values ? at : row_values - kWidth;
    block.template operator()<1>(at);
  }
}

template <int kVectors, class T>
SIMCLR_HD_INLINE void blur_column_block(const float* rows, const Filter& filter, Border border,
                                        int y, Index row_values, int height,
                                        Normalization normalization, Index at, T* out) {
  int first = 0;
  int last = 2 * filter.radius;
  if (border == Border::zero) {
    if (first < filter.radius - y) first = filter.radius - y;
    if (last > height - 1 - y + filter.radius) last = height - 1 - y + filter.radius;
  }
  VecF sum[kVectors] = {};
  for (int t = first; t <= last; ++t) {
    const float* source = rows + reflect_index(y + t - filter.radius, height) * row_values + at;
    for (int v = 0; v < kVectors; ++v)
      sum[v] += filter.weight[t] * load(source + Index{v} * kWidth);
  }
  for (int v = 0; v < kVectors; ++v) {
    const Index offset = at + Index{v} * kWidth;
    store_normalized(out + offset, sum[v], normalization, offset);
  }
}

/// Vertical pass. rows, out: (height, row_values).
template <class T>
void blur_columns(const float* rows, const Filter& filter, Border border, Index row_values,
                  int height, Normalization normalization, T* out) {
  for (int y = 0; y < height; ++y) {
    T* out_row = out + y * row_values;
    for_each_block(row_values, [&]<int kVectors>(Index at) {
      blur_column_block<kVectors>(rows, filter, border, y, row_values, height, normalization, at,
                                  out_row);
    });
  }
}

/// Sobel's kernels are products of a difference and a smoothing; both sum up what they find.
inline constexpr Filter kDifference{.radius = 1, .weight = {-1, 0, 1}};
inline constexpr Filter kSmoothing{.radius = 1, .weight = {1, 2, 1}};

/// Vertical pass: the gradient's length, of which `differences` and `smoothed` hold the horizontal
/// passes. All: (height, row_values).
template <class T>
void sobel_columns(const float* differences, const float* smoothed, Index row_values, int height,
                   Normalization normalization, T* out) {
  for (int y = 0; y < height; ++y) {
    const Index above = reflect_index(y - 1, height) * row_values;
    const Index here = y * row_values;
    const Index below = reflect_index(y + 1, height) * row_values;
    for_each_block(row_values, [&]<int kVectors>(Index at) {
      for (int v = 0; v < kVectors; ++v) {
        const Index i = at + Index{v} * kWidth;
        const VecF x = load(differences + above + i) + 2.0F * load(differences + here + i) +
                       load(differences + below + i);
        const VecF y_gradient = load(smoothed + below + i) - load(smoothed + above + i);
        const VecF length = square_root(x * x + y_gradient * y_gradient);
        store_normalized(out + here + i, smaller(0.25F * length, VecF{} + 1.0F), normalization, i);
      }
    });
  }
}

}  // namespace simclr::SIMCLR_ISA
