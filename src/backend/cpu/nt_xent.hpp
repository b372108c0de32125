#pragma once
// How the contrastive loss is tiled: blocks of rows against blocks of columns of the similarity
// matrix, which never exists as a whole.

#include <oneapi/dnnl/dnnl.h>

#include <algorithm>
#include <cstdint>
#include <span>

#include "simclr/core/check.hpp"
#include "tiles.hpp"

namespace simclr::cpu {

/// Columns of a block: with 128 rows of 128 embedding dimensions all operands stay in a 1 MB cache.
inline constexpr std::int64_t kColumnBlock = 512;

struct SimilarityTiling {
  std::int64_t rows = 0;       ///< local views V
  std::int64_t columns = 0;    ///< all views R*V
  std::int64_t stride = 0;     ///< elements of an embedding's row, padding (zero) included
  std::int64_t first_row = 0;  ///< of this rank among all views
  std::int64_t row_block = 0;
  int threads = 1;

  [[nodiscard]] std::int64_t row_blocks() const { return (rows + row_block - 1) / row_block; }
  /// Elements of one thread's block of similarities.
  [[nodiscard]] std::int64_t block_elements() const { return row_block * kColumnBlock; }
  /// The partner of local row i, as a column of all views.
  [[nodiscard]] std::int64_t partner(std::int64_t i) const {
    return first_row + (i + rows / 2) % rows;
  }
};

inline SimilarityTiling make_similarity_tiling(const Layout& u, const Layout& u_all, int rank,
                                               int threads) {
  const std::int64_t share = (u.images + threads - 1) / threads;
  return {.rows = u.images,
          .columns = u_all.images,
          .stride = u.padded_channels(),
          .first_row = rank * u.images,
          .row_block = std::clamp<std::int64_t>((share + 15) / 16 * 16, 16, 128),
          .threads = threads};
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

/// Row-major C (m,n; row stride ldc) = A (m,k) op(B) + beta*C, B (k,n) or, transposed, (n,k).
struct Gemm {
  bool transpose_b = false;
  std::int64_t m = 0, n = 0, k = 0;
  const float* a = nullptr;
  std::int64_t lda = 0;
  const float* b = nullptr;
  std::int64_t ldb = 0;
  float beta = 0;
  float* c = nullptr;
  std::int64_t ldc = 0;
};
inline void multiply(const Gemm& g) {
  const dnnl_status_t status = dnnl_sgemm('N', g.transpose_b ? 'T' : 'N', g.m, g.n, g.k, 1.0F, g.a,
                                          g.lda, g.b, g.ldb, g.beta, g.c, g.ldc);
  require(status == dnnl_success, "dnnl_sgemm");
}

/// block (rows, columns; row stride kColumnBlock) = the similarities of the views at u_rows with
/// those at u_columns.
inline void similarities(const SimilarityTiling& tiling, const float* u_rows, std::int64_t rows,
                         const float* u_columns, std::int64_t columns, float* block) {
  multiply({.transpose_b = true,
            .m = rows,
            .n = columns,
            .k = tiling.stride,
            .a = u_rows,
            .lda = tiling.stride,
            .b = u_columns,
            .ldb = tiling.stride,
            .beta = 0,
            .c = block,
            .ldc = kColumnBlock});
}

}  // namespace simclr::cpu
