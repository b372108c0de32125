// NT-Xent: log-sum-exps, loss sums and gradients in two sweeps over blocks of similarities.

#include "nt_xent.hpp"

#include <array>
#include <cmath>
#include <limits>

namespace simclr::cpu {

namespace {

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
RowTerms finish_row(const kernels::SoftmaxRow& row, float partner, double inverse_temperature,
                    float& lse) {
  const double log_sum = std::log(row.sum);
  const double of_partner = (double{partner} - row.largest) * inverse_temperature;
  lse = static_cast<float>(row.largest * inverse_temperature + log_sum);
  return {.loss = log_sum - of_partner,
          .hit = double{partner} >= row.largest ? 1.0 : 0.0,
          .entropy = log_sum - row.weighted / row.sum};
}

void forward_rows(const SimilarityTiling& tiling, const ForwardOperands& o, std::int64_t first,
                  std::int64_t count, float* block, RowTerms* terms) {
  std::array<kernels::SoftmaxRow, 128> rows{};
  std::array<float, 128> partner{};
  for (std::int64_t column = 0; column < tiling.columns; column += kColumnBlock) {
    const std::int64_t columns = std::min(kColumnBlock, tiling.columns - column);
    similarities(tiling, o.u + first * tiling.stride, count, o.u_all + column * tiling.stride,
                 columns, block);
    for (std::int64_t i = 0; i < count; ++i) {
      float* s = block + i * kColumnBlock;
      const std::int64_t self = tiling.first_row + first + i - column;
      const std::int64_t other = tiling.partner(first + i) - column;
      if (other >= 0 && other < columns) partner[static_cast<std::size_t>(i)] = s[other];
      if (self >= 0 && self < columns) s[self] = kLeftOut;
      kernels::table().loss.accumulate_row(s, columns, static_cast<float>(o.inverse_temperature),
                                           rows[static_cast<std::size_t>(i)]);
    }
  }
  for (std::int64_t i = 0; i < count; ++i) {
    const auto row = static_cast<std::size_t>(i);
    terms[first + i] = finish_row(rows[row], partner[row], o.inverse_temperature, o.lse[first + i]);
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
    multiply({.transpose_b = false,
              .m = count,
              .n = tiling.stride,
              .k = columns,
              .a = block,
              .lda = kColumnBlock,
              .b = u_columns,
              .ldb = tiling.stride,
              .beta = column == 0 ? 0.0F : 1.0F,
              .c = du,
              .ldc = tiling.stride});
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

}  // namespace simclr::cpu
