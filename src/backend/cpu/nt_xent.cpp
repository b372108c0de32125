// Unit vectors, and NT-Xent: log-sum-exps, loss sums and gradients in two sweeps over blocks of
// rows against blocks of columns of the similarity matrix, which never exists as a whole.

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "kernels/table.hpp"
#include "onednn.hpp"
#include "steps.hpp"

namespace simclr::cpu {

namespace {

/// Columns of a block: with 128 rows of 128 embedding dimensions all operands stay in a 1 MB cache.
constexpr std::int64_t kColumnBlock = 512;

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

SimilarityTiling make_similarity_tiling(const Layout& u, const Layout& u_all, int rank,
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

/// `rows` embeddings from `u` on, padding included.
Matrix embeddings(const SimilarityTiling& tiling, const float* u, std::int64_t rows) {
  // multiply_matrices() writes to its result only.
  return {.data = const_cast<float*>(u),
          .rows = rows,
          .columns = tiling.stride,
          .stride = tiling.stride};
}

/// block (rows, columns; row stride kColumnBlock) = the similarities of the views at u_rows with
/// those at u_columns.
Matrix similarities(const SimilarityTiling& tiling, const float* u_rows, std::int64_t rows,
                    const float* u_columns, std::int64_t columns, float* block) {
  const Matrix result{.data = block, .rows = rows, .columns = columns, .stride = kColumnBlock};
  multiply_matrices(Form::plain, embeddings(tiling, u_rows, rows), Form::transposed,
                    embeddings(tiling, u_columns, columns), result, false);
  return result;
}

constexpr float kLeftOut = -std::numeric_limits<float>::infinity();

std::size_t block_bytes(const SimilarityTiling& tiling) {
  return static_cast<std::size_t>(tiling.threads * tiling.block_elements()) * sizeof(float);
}

/// What a row adds to the sums.
struct RowTerms {
  double loss = 0, hit = 0, entropy = 0;
};

struct ForwardOperands {
  const float *u = nullptr, *u_all = nullptr;
  float* lse = nullptr;
  double* sums = nullptr;
  double inverse_temperature = 1;
};
struct ForwardScratch {
  float* blocks = nullptr;
  RowTerms* terms = nullptr;  // one a row
};

// The row's terms once all columns are seen. With x = s/T, m its maximum, S = sum exp(x - m) and
// W = sum exp(x - m)*(x - m): lse = m + ln S, entropy = lse - sum p x = ln S - W/S.
// A partner that ties with another view is not found: equal embeddings are no hits.
RowTerms finish_row(const kernels::SoftmaxRow& row, double inverse_temperature, float& lse) {
  const double log_sum = std::log(row.sum);
  const double of_partner = (double{row.partner} - row.largest) * inverse_temperature;
  lse = static_cast<float>(row.largest * inverse_temperature + log_sum);
  return {.loss = log_sum - of_partner,
          .hit = row.partner > row.rival ? 1.0 : 0.0,
          .entropy = log_sum - row.weighted / row.sum};
}

void forward_rows(const SimilarityTiling& tiling, const ForwardOperands& o, std::int64_t first,
                  std::int64_t count, float* block, RowTerms* terms) {
  std::array<kernels::SoftmaxRow, 128> rows{};
  for (std::int64_t column = 0; column < tiling.columns; column += kColumnBlock) {
    const std::int64_t columns = std::min(kColumnBlock, tiling.columns - column);
    similarities(tiling, o.u + first * tiling.stride, count, o.u_all + column * tiling.stride,
                 columns, block);
    for (std::int64_t i = 0; i < count; ++i) {
      float* s = block + i * kColumnBlock;
      const std::int64_t self = tiling.first_row + first + i - column;
      const std::int64_t other = tiling.partner(first + i) - column;
      if (self >= 0 && self < columns) s[self] = kLeftOut;
      kernels::table().loss.accumulate_row(s, columns, other,
                                           static_cast<float>(o.inverse_temperature),
                                           rows[static_cast<std::size_t>(i)]);
    }
  }
  for (std::int64_t i = 0; i < count; ++i) {
    terms[first + i] =
        finish_row(rows[static_cast<std::size_t>(i)], o.inverse_temperature, o.lse[first + i]);
  }
}

void run_forward(const SimilarityTiling& tiling, const ForwardOperands& o,
                 const ForwardScratch& scratch) {
  for_each_row_block(tiling, scratch.blocks,
                     [&](std::int64_t first, std::int64_t count, float* block) {
                       forward_rows(tiling, o, first, count, block, scratch.terms);
                     });
  RowTerms total;
  for (std::int64_t i = 0; i < tiling.rows; ++i) {
    total.loss += scratch.terms[i].loss;
    total.hit += scratch.terms[i].hit;
    total.entropy += scratch.terms[i].entropy;
  }
  o.sums[0] = total.loss;
  o.sums[1] = total.hit;
  o.sums[2] = total.entropy;
}

SimilarityTiling checked_tiling(TensorId u_id, TensorId u_all_id, int rank,
                                const Context& context) {
  const Layout u = context.layout(u_id);
  const Layout u_all = context.layout(u_all_id);
  require(
      u.images % 2 == 0 && (rank + 1) * u.images <= u_all.images && u.channels == u_all.channels,
      "this rank's embeddings are a block of all embeddings, two views a sample");
  return make_similarity_tiling(u, u_all, rank, context.threads);
}

}  // namespace

Prepared prepare(const NtXentForward& op, const Context& context) {
  const SimilarityTiling tiling = checked_tiling(op.u, op.u_all, op.rank, context);
  const ForwardOperands operands{.u = context.tensor(op.u).as<float>(),
                                 .u_all = context.tensor(op.u_all).as<float>(),
                                 .lse = context.tensor(op.lse).as<float>(),
                                 .sums = context.tensor(op.sums).as<double>(),
                                 .inverse_temperature = 1 / double{op.temperature}};
  const std::size_t blocks = block_bytes(tiling);
  return make_step(blocks + static_cast<std::size_t>(tiling.rows) * sizeof(RowTerms),
                   [=](Workspace workspace) {
                     run_forward(tiling, operands,
                                 {.blocks = reinterpret_cast<float*>(workspace.data()),
                                  .terms = reinterpret_cast<RowTerms*>(workspace.data() + blocks)});
                   });
}

namespace {

struct BackwardOperands {
  const float *u = nullptr, *u_all = nullptr;
  const float *lse = nullptr, *lse_all = nullptr;
  float* du = nullptr;
  double inverse_temperature = 1;
  const float* control = nullptr;  // or null
};

// du = scale * Q u_all with Q_ij = P_ij + P_ji - 2 [j is i's partner], Q_ii = 0.
void backward_rows(const SimilarityTiling& tiling, const BackwardOperands& o, std::int64_t first,
                   std::int64_t count, float* block) {
  float* du = o.du + first * tiling.stride;
  for (std::int64_t column = 0; column < tiling.columns; column += kColumnBlock) {
    const std::int64_t columns = std::min(kColumnBlock, tiling.columns - column);
    const float* u_columns = o.u_all + column * tiling.stride;
    const Matrix weights =
        similarities(tiling, o.u + first * tiling.stride, count, u_columns, columns, block);
    for (std::int64_t i = 0; i < count; ++i) {
      float* q = block + i * kColumnBlock;
      const std::int64_t self = tiling.first_row + first + i - column;
      const std::int64_t other = tiling.partner(first + i) - column;
      if (self >= 0 && self < columns) q[self] = kLeftOut;
      kernels::table().loss.pair_weights(q, columns, static_cast<float>(o.inverse_temperature),
                                         o.lse[first + i], o.lse_all + column);
      if (other >= 0 && other < columns) q[other] -= 2;
      if (self >= 0 && self < columns) q[self] = 0;
    }
    multiply_matrices(Form::plain, weights, Form::plain, embeddings(tiling, u_columns, columns),
                      embeddings(tiling, du, count), column > 0);
  }
  const double loss_scale = o.control != nullptr ? double{o.control[3]} : 1.0;
  const auto scale =
      static_cast<float>(loss_scale * o.inverse_temperature / static_cast<double>(tiling.columns));
  for (std::int64_t d = 0; d < count * tiling.stride; ++d) du[d] *= scale;
}

}  // namespace

Prepared prepare(const NtXentBackward& op, const Context& context) {
  const SimilarityTiling tiling = checked_tiling(op.u, op.u_all, op.rank, context);
  const BackwardOperands operands{.u = context.tensor(op.u).as<float>(),
                                  .u_all = context.tensor(op.u_all).as<float>(),
                                  .lse = context.tensor(op.lse).as<float>(),
                                  .lse_all = context.tensor(op.lse_all).as<float>(),
                                  .du = context.tensor(op.du).as<float>(),
                                  .inverse_temperature = 1 / double{op.temperature},
                                  .control = context.values<float>(op.control)};
  return make_step(block_bytes(tiling), [=](Workspace workspace) {
    for_each_row_block(tiling, reinterpret_cast<float*>(workspace.data()),
                       [&](std::int64_t first, std::int64_t count, float* block) {
                         backward_rows(tiling, operands, first, count, block);
                       });
  });
}

// Rows of embeddings are short (128), so plain loops in double do.

Prepared prepare(const L2Normalize& op, const Context& context) {
  const TensorView z = context.tensor(op.z);
  require_blocked(z);
  auto* inverse_norm = context.tensor(op.inverse_norm).as<float>();
  return make_step([=, z_data = z.as<float>(), u = context.tensor(op.u).as<float>(),
                    rows = z.layout.images, stride = z.layout.padded_channels(),
                    threads = context.threads] {
    for_each_index(rows, threads, [&](std::int64_t row) {
      const float* from = z_data + row * stride;
      float* to = u + row * stride;
      double square = 0;
      for (std::int64_t d = 0; d < stride; ++d) square += double{from[d]} * double{from[d]};
      const double norm = std::sqrt(square);
      const double inverse = 1 / (norm < 1e-12 ? 1e-12 : norm);  // NaN stays NaN
      for (std::int64_t d = 0; d < stride; ++d) to[d] = static_cast<float>(from[d] * inverse);
      inverse_norm[row] = static_cast<float>(inverse);
    });
  });
}

namespace {

constexpr std::int64_t kColumns = 16;  // that a thread adds up at a time

}  // namespace

Prepared prepare(const ColumnDeviation& op, const Context& context) {
  const TensorView u = context.tensor(op.u);
  require_blocked(u);
  const auto bytes = static_cast<std::size_t>(u.layout.channels) * sizeof(double);
  return make_step(
      bytes, [u_data = u.as<float>(), deviation = context.tensor(op.deviation).as<double>(),
              rows = u.layout.images, columns = u.layout.channels,
              stride = u.layout.padded_channels(), threads = context.threads](Workspace workspace) {
        auto* deviations = reinterpret_cast<double*>(workspace.data());
        for_each_index((columns + kColumns - 1) / kColumns, threads, [&](std::int64_t block) {
          const std::int64_t first = block * kColumns;
          const std::int64_t count = std::min(kColumns, columns - first);
          std::array<double, kColumns> sums{}, squares{};
          for (std::int64_t row = 0; row < rows; ++row) {
            const float* values = u_data + row * stride + first;
            for (std::int64_t c = 0; c < count; ++c) {
              const auto at = static_cast<std::size_t>(c);
              sums[at] += double{values[c]};
              squares[at] += double{values[c]} * double{values[c]};
            }
          }
          for (std::int64_t c = 0; c < count; ++c) {
            const auto at = static_cast<std::size_t>(c);
            const double mean = sums[at] / static_cast<double>(rows);
            const double variance = squares[at] / static_cast<double>(rows) - mean * mean;
            deviations[first + c] = std::sqrt(variance < 0 ? 0 : variance);  // NaN stays NaN
          }
        });
        double sum = 0;
        for (std::int64_t c = 0; c < columns; ++c) sum += deviations[c];
        *deviation = sum / static_cast<double>(columns);
      });
}

Prepared prepare(const L2NormalizeBackward& op, const Context& context) {
  const TensorView u = context.tensor(op.u);
  require_blocked(u);
  const auto* inverse_norm = context.tensor(op.inverse_norm).as<float>();
  return make_step([=, u_data = u.as<float>(), du = context.tensor(op.du).as<float>(),
                    dz = context.tensor(op.dz).as<float>(), rows = u.layout.images,
                    stride = u.layout.padded_channels(), threads = context.threads] {
    for_each_index(rows, threads, [&](std::int64_t row) {
      const float* unit = u_data + row * stride;
      const float* gradient = du + row * stride;
      double along = 0;
      for (std::int64_t d = 0; d < stride; ++d) along += double{unit[d]} * double{gradient[d]};
      for (std::int64_t d = 0; d < stride; ++d) {
        dz[row * stride + d] =
            static_cast<float>((gradient[d] - unit[d] * along) * inverse_norm[row]);
      }
    });
  });
}

}  // namespace simclr::cpu
