// Contrastive losses, forward: one sweep over blocks of rows against blocks of columns of the
// similarity matrix. Every loss also needs the softmax over all other views, whose hits and
// entropies are reported.

#include <array>

#include "kernels/table.hpp"
#include "similarity.hpp"

namespace simclr::cpu {

namespace {

struct Contrast {
  const float *u = nullptr, *u_all = nullptr;
  const std::int32_t* labels_all = nullptr;       // or null
  float *statistic = nullptr, *second = nullptr;  // or null
  double* sums = nullptr;
  ContrastiveLoss loss;
};
struct ContrastScratch {
  float* blocks = nullptr;
  ContrastTerms* terms = nullptr;  // one a row
  std::int32_t* ids = nullptr;     // of positives, one a view; supcon
};

void find_negatives(const Contrast& o, const float* s, std::int64_t first_column,
                    std::int64_t count, float positive, ContrastRow& row) {
  const auto& kernels = kernels::table().loss;
  const auto inverse = static_cast<float>(o.loss.inverse_temperature());
  const bool is_margin = o.loss.kind == LossKind::margin;
  if (o.loss.semi_hard) {
    const float above = is_margin ? positive - o.loss.margin : kLeftOut;
    kernels.nearest_negative(s, count, positive, above, first_column, row.nearest);
  } else if (is_margin) {
    kernels.sum_beyond_margin(s, count, positive - o.loss.margin, row.sums);
  } else if (o.loss.kind == LossKind::nt_logistic) {
    kernels.sum_softplus(s, count, inverse, row.sums);
  } else {
    kernels.accumulate_row(s, count, -1, inverse, row.negatives);
  }
}

void visit_columns(const SimilarityTiling& tiling, const Contrast& o,
                   const ContrastScratch& scratch, std::int64_t row, std::int64_t column,
                   std::int64_t columns, float positive, float* s, ContrastRow& state) {
  const std::int64_t self = tiling.self(row) - column;
  if (self >= 0 && self < columns) s[self] = kLeftOut;
  kernels::table().loss.accumulate_row(s, columns, tiling.partner(row) - column,
                                       static_cast<float>(o.loss.inverse_temperature()), state.all);
  if (o.loss.is_plain()) return;
  if (o.loss.kind == LossKind::supcon) {
    if (self >= 0 && self < columns) s[self] = 0;
    kernels::table().loss.sum_positives(s, scratch.ids + column, columns,
                                        scratch.ids[tiling.self(row)], state.positives);
    return;
  }
  for_each_negative(tiling, o.loss.negatives, row, column, column + columns,
                    [&](std::int64_t begin, std::int64_t end) {
                      find_negatives(o, s + begin - column, begin, end - begin, positive, state);
                    });
}

void forward_rows(const SimilarityTiling& tiling, const Contrast& o, const ContrastScratch& scratch,
                  std::int64_t first, std::int64_t count, float* block) {
  std::array<ContrastRow, kMostBlockRows> rows{};
  std::array<float, kMostBlockRows> positives{};
  const bool compares = o.loss.semi_hard || o.loss.kind == LossKind::margin;
  if (compares) partner_similarities(tiling, o.u, first, count, block, positives.data());
  for (std::int64_t column = 0; column < tiling.columns; column += kColumnBlock) {
    const std::int64_t columns = std::min(kColumnBlock, tiling.columns - column);
    similarities(tiling, o.u + first * tiling.stride, count, o.u_all + column * tiling.stride,
                 columns, block);
    for (std::int64_t i = 0; i < count; ++i) {
      const auto at = static_cast<std::size_t>(i);
      visit_columns(tiling, o, scratch, first + i, column, columns, positives[at],
                    block + i * kColumnBlock, rows[at]);
    }
  }
  for (std::int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    rows[at].positive = compares ? positives[at] : rows[at].all.partner;
    const ContrastTerms terms = finish_row(o.loss, tiling.columns, rows[at]);
    scratch.terms[first + i] = terms;
    if (o.statistic != nullptr) o.statistic[first + i] = terms.statistic;
    if (o.second != nullptr) o.second[first + i] = terms.second;
  }
}

void run_forward(const SimilarityTiling& tiling, const Contrast& o,
                 const ContrastScratch& scratch) {
  if (o.labels_all != nullptr) positive_ids(tiling, o.labels_all, scratch.ids);
  for_each_row_block(tiling, scratch.blocks,
                     [&](std::int64_t first, std::int64_t count, float* block) {
                       forward_rows(tiling, o, scratch, first, count, block);
                     });
  ContrastTerms total;
  for (std::int64_t i = 0; i < tiling.rows; ++i) {
    total.loss += scratch.terms[i].loss;
    total.hit += scratch.terms[i].hit;
    total.entropy += scratch.terms[i].entropy;
    total.found += scratch.terms[i].found;
  }
  o.sums[0] = total.loss;
  o.sums[1] = total.hit;
  o.sums[2] = total.entropy;
  if (o.loss.semi_hard) o.sums[3] = total.found;
}

}  // namespace

Prepared prepare(const ContrastiveForward& op, const Context& context) {
  const SimilarityTiling tiling = similarity_tiling(op, context);
  const Contrast operands{.u = context.tensor(op.u).as<float>(),
                          .u_all = context.tensor(op.u_all).as<float>(),
                          .labels_all = context.values<std::int32_t>(op.labels_all),
                          .statistic = context.values<float>(op.statistic),
                          .second = context.values<float>(op.second),
                          .sums = context.tensor(op.sums).as<double>(),
                          .loss = op.loss};
  const std::size_t terms = tiling.block_bytes();
  const std::size_t ids = terms + static_cast<std::size_t>(tiling.rows) * sizeof(ContrastTerms);
  const auto views = static_cast<std::size_t>(op.labels_all ? tiling.columns : 0);
  return make_step(ids + views * sizeof(std::int32_t), [=](Workspace workspace) {
    run_forward(tiling, operands,
                {.blocks = reinterpret_cast<float*>(workspace.data()),
                 .terms = reinterpret_cast<ContrastTerms*>(workspace.data() + terms),
                 .ids = reinterpret_cast<std::int32_t*>(workspace.data() + ids)});
  });
}

}  // namespace simclr::cpu
