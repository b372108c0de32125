#pragma once
// Blocks of the similarity matrix, rows against columns, and which columns count for a row. The
// matrix never exists as a whole.

#include <algorithm>
#include <cstdint>
#include <limits>

#include "../contrastive_row.hpp"
#include "onednn.hpp"
#include "simclr/program/contrastive.hpp"
#include "steps.hpp"

namespace simclr::cpu {

/// Columns of a block: with 128 rows of 128 embedding dimensions all operands stay in a 1 MB cache.
inline constexpr std::int64_t kColumnBlock = 512;
inline constexpr std::int64_t kMostBlockRows = 128;
inline constexpr float kLeftOut = -std::numeric_limits<float>::infinity();

struct SimilarityTiling {
  std::int64_t rows = 0;       ///< local views V
  std::int64_t columns = 0;    ///< all views R*V
  std::int64_t stride = 0;     ///< elements of an embedding's row, padding (zero) included
  std::int64_t first_row = 0;  ///< of this rank among all views
  std::int64_t row_block = 0;  ///< at most kMostBlockRows
  int threads = 1;

  [[nodiscard]] std::int64_t row_blocks() const { return (rows + row_block - 1) / row_block; }
  /// Elements of one thread's block of similarities.
  [[nodiscard]] std::int64_t block_elements() const { return row_block * kColumnBlock; }
  /// Scratch of all threads.
  [[nodiscard]] std::size_t block_bytes() const {
    return static_cast<std::size_t>(threads * block_elements()) * sizeof(float);
  }
  [[nodiscard]] std::int64_t self(std::int64_t i) const { return first_row + i; }
  /// The partner of local row i, as a local row and as a column of all views.
  [[nodiscard]] std::int64_t local_partner(std::int64_t i) const { return (i + rows / 2) % rows; }
  [[nodiscard]] std::int64_t partner(std::int64_t i) const { return first_row + local_partner(i); }
};

/// Returns the tiling of op.u against op.u_all on rank op.rank.
template <class AnyOp>
SimilarityTiling similarity_tiling(const AnyOp& op, const Context& context) {
  const Layout u = context.layout(op.u);
  const Layout u_all = context.layout(op.u_all);
  require(u.images % 2 == 0 && (op.rank + 1) * u.images <= u_all.images &&
              u_all.images % u.images == 0 && u.channels == u_all.channels,
          "this rank's embeddings are a block of all embeddings, two views a sample");
  require(u_all.images < std::int64_t{1} << 24, "numbers of views are exact in f32");
  require(op.loss.kind != LossKind::dcl || op.loss.negative_count(u_all.images) > 0,
          "dcl needs negatives");
  require(op.loss.kind != LossKind::supcon || op.labels_all.has_value(), "supcon needs labels");
  const std::int64_t share = (u.images + context.threads - 1) / context.threads;
  return {.rows = u.images,
          .columns = u_all.images,
          .stride = u.padded_channels(),
          .first_row = op.rank * u.images,
          .row_block = std::clamp<std::int64_t>((share + 15) / 16 * 16, 16, kMostBlockRows),
          .threads = context.threads};
}

/// visit(first row, rows, scratch block of the thread) for every block of rows.
template <class Visit>
void for_each_row_block(const SimilarityTiling& tiling, float* scratch, Visit&& visit) {
  const std::int64_t blocks = tiling.row_blocks();
#pragma omp parallel for num_threads(tiling.threads) schedule(static, 1)
  for (std::int64_t thread = 0; thread < tiling.threads; ++thread) {
    float* own = scratch + thread * tiling.block_elements();
    for (std::int64_t block = thread; block < blocks; block += tiling.threads) {
      const std::int64_t first = block * tiling.row_block;
      visit(first, std::min(tiling.row_block, tiling.rows - first), own);
    }
  }
}

/// `rows` embeddings from `u` on, padding included.
inline Matrix embeddings(const SimilarityTiling& tiling, const float* u, std::int64_t rows) {
  // multiply_matrices() writes to its result only.
  return {.data = const_cast<float*>(u),
          .rows = rows,
          .columns = tiling.stride,
          .stride = tiling.stride};
}

/// block (rows, columns; row stride kColumnBlock) = the similarities of the views at u_rows with
/// those at u_columns.
inline Matrix similarities(const SimilarityTiling& tiling, const float* u_rows, std::int64_t rows,
                           const float* u_columns, std::int64_t columns, float* block) {
  const Matrix result{.data = block, .rows = rows, .columns = columns, .stride = kColumnBlock};
  multiply_matrices(Form::plain, embeddings(tiling, u_rows, rows), Form::transposed,
                    embeddings(tiling, u_columns, columns), result, false);
  return result;
}

/// positive (count) = similarities of local rows [first, first + count) with their partners, by the
/// product that makes all similarities, so that equal embeddings have equal ones. `u`: local rows.
inline void partner_similarities(const SimilarityTiling& tiling, const float* u, std::int64_t first,
                                 std::int64_t count, float* block, float* positive) {
  for (std::int64_t begin = 0; begin < count;) {
    const std::int64_t partner = tiling.local_partner(first + begin);
    const std::int64_t length = std::min(count - begin, tiling.rows - partner);
    similarities(tiling, u + (first + begin) * tiling.stride, length, u + partner * tiling.stride,
                 length, block);
    for (std::int64_t i = 0; i < length; ++i) positive[begin + i] = block[i * (kColumnBlock + 1)];
    begin += length;
  }
}

/// visit(begin, end) for the stretches of columns [first, last) that hold negatives of local row i,
/// in order.
template <class Visit>
void for_each_negative(const SimilarityTiling& tiling, Negatives negatives, std::int64_t i,
                       std::int64_t first, std::int64_t last, Visit&& visit) {
  const std::int64_t low = std::min(tiling.self(i), tiling.partner(i));
  const std::int64_t high = std::max(tiling.self(i), tiling.partner(i));
  const auto visit_others = [&](std::int64_t begin, std::int64_t end) {
    for (const std::int64_t cut : {low, high}) {
      if (cut < begin || cut >= end) continue;
      if (cut > begin) visit(begin, cut);
      begin = cut + 1;
    }
    if (begin < end) visit(begin, end);
  };
  if (negatives == Negatives::both) {
    visit_others(first, last);
    return;
  }
  const std::int64_t half = tiling.rows / 2;
  const std::int64_t other_view = i < half ? half : 0;
  for (std::int64_t block = first / tiling.rows * tiling.rows; block < last; block += tiling.rows) {
    const std::int64_t begin = block + other_view;
    visit_others(std::max(first, begin), std::min(last, begin + half));
  }
}

/// ids (R*V): positive_id() of all views.
inline void positive_ids(const SimilarityTiling& tiling, const std::int32_t* labels,
                         std::int32_t* ids) {
  for (std::int64_t view = 0; view < tiling.columns; ++view) {
    ids[view] = positive_id(labels, view, tiling.rows);
  }
}

}  // namespace simclr::cpu
