#pragma once
// What kernels over the similarity matrix have in common: which columns are special for a row.

#include <cuda_runtime.h>

#include "contrastive.hpp"

namespace simclr::cuda {

/// Columns [first, last) of this block.
struct ColumnRange {
  int first = 0, last = 0;
};
__device__ __forceinline__ ColumnRange columns_of_split(const SimilarityShape& shape, int split) {
  const int first = split * shape.columns_per_split;
  return {first, min(first + shape.columns_per_split, shape.columns)};
}

/// The column of a row itself, which the softmax leaves out.
__device__ __forceinline__ int self_of(const SimilarityShape& shape, int row) {
  return shape.first_row + row;
}
/// Whether a column is the other view of a row's sample, half this rank's block away;
/// `distance` = column - self_of(row).
__device__ __forceinline__ bool is_partner(const SimilarityShape& shape, int column, int distance) {
  const auto in_block = static_cast<unsigned>(column - shape.first_row);
  return abs(distance) == shape.rows / 2 && in_block < static_cast<unsigned>(shape.rows);
}

/// Whether a view of all is the second of its sample.
__device__ __forceinline__ bool is_second(const SimilarityShape& shape, int view) {
  return view % shape.rows >= shape.rows / 2;
}

/// Whether any of rows [row, row + rows) may have itself or its partner in columns
/// [column, column + columns), or the tile ends outside the matrix.
__device__ __forceinline__ bool is_special(const SimilarityShape& shape, int row, int rows,
                                           int column, int columns) {
  const auto touches = [=](int first) { return first < column + columns && column < first + rows; };
  const int self = self_of(shape, row);
  const int half = shape.rows / 2;
  return touches(self) || touches(self + half) || touches(self - half) ||
         column + columns > shape.columns;
}

/// x = -infinity; above it is every number.
__device__ __forceinline__ float lowest_similarity() { return __uint_as_float(0xFF800000U); }

}  // namespace simclr::cuda
