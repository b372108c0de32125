// Contrastive losses, backward: a second sweep over the similarity matrix turns each block into the
// weights G_ij + G_ji and multiplies them with the embeddings. Semi-hard forms have two weights a
// row and need no sweep.

#include <array>

#include "kernels/table.hpp"
#include "similarity.hpp"

namespace simclr::cpu {

namespace {

struct ContrastGradient {
  const float *u = nullptr, *u_all = nullptr;
  const std::int32_t* labels_all = nullptr;                     // or null
  const float *statistic_all = nullptr, *second_all = nullptr;  // or null
  float* du = nullptr;
  ContrastiveLoss loss;
  const float* control = nullptr;  // or null
};
struct ContrastGradientScratch {
  float* blocks = nullptr;
  std::int32_t* ids = nullptr;                         // supcon: of positives, one a view
  std::int32_t *chosen_by = nullptr, *next = nullptr;  // semi-hard: lists of views, -1 ends them
};

double gradient_scale(const SimilarityTiling& tiling, const ContrastGradient& o) {
  const double loss_scale = o.control != nullptr ? double{o.control[3]} : 1.0;
  return loss_scale * slope(o.loss) / static_cast<double>(tiling.columns);
}

/// s[0, count) of negatives `column`... becomes G_ij + G_ji, but for the slope.
void negative_weights(const SimilarityTiling& tiling, const ContrastGradient& o, std::int64_t view,
                      std::int64_t column, std::int64_t count, float* s) {
  const auto& kernels = kernels::table().loss;
  const auto inverse = static_cast<float>(o.loss.inverse_temperature());
  const auto weight = static_cast<float>(o.loss.negative_weight(tiling.columns));
  if (o.loss.kind == LossKind::margin) {
    kernels.margin_weights(s, count, o.loss.margin, weight, o.statistic_all[view],
                           o.statistic_all + column);
  } else if (o.loss.kind == LossKind::nt_logistic) {
    kernels.sigmoid_weights(s, count, inverse, 2 * weight);
  } else {
    kernels.pair_weights(s, count, inverse, o.statistic_all[view], o.statistic_all + column);
  }
}

/// All other views in one softmax: nt-xent with both sides' negatives, and supcon.
void weights_of_all(const SimilarityTiling& tiling, const ContrastGradient& o,
                    const ContrastGradientScratch& scratch, std::int64_t row, std::int64_t column,
                    std::int64_t columns, float* q) {
  const std::int64_t view = tiling.self(row);
  const std::int64_t self = view - column;
  const std::int64_t other = tiling.partner(row) - column;
  if (self >= 0 && self < columns) q[self] = kLeftOut;
  kernels::table().loss.pair_weights(q, columns, static_cast<float>(o.loss.inverse_temperature()),
                                     o.statistic_all[view], o.statistic_all + column);
  if (o.loss.kind == LossKind::supcon) {
    kernels::table().loss.attract_positives(q, scratch.ids + column, columns, scratch.ids[view],
                                            o.second_all[view], o.second_all + column);
  } else if (other >= 0 && other < columns) {
    q[other] -= 2;
  }
  if (self >= 0 && self < columns) q[self] = 0;
}

void weights_of_negatives(const SimilarityTiling& tiling, const ContrastGradient& o,
                          std::int64_t row, std::int64_t column, std::int64_t columns, float* q) {
  const std::int64_t other = tiling.partner(row) - column;
  const double positive = other >= 0 && other < columns ? double{q[other]} : 0;
  std::int64_t done = 0;
  for_each_negative(tiling, o.loss.negatives, row, column, column + columns,
                    [&](std::int64_t begin, std::int64_t end) {
                      std::fill(q + done, q + (begin - column), 0.0F);
                      done = end - column;
                      negative_weights(tiling, o, tiling.self(row), begin, end - begin,
                                       q + (begin - column));
                    });
  std::fill(q + done, q + columns, 0.0F);
  if (other < 0 || other >= columns) return;
  q[other] =
      static_cast<float>(partner_weight(o.loss, tiling.columns, {o.statistic_all, o.second_all},
                                        tiling.self(row), tiling.partner(row), positive));
}

void backward_rows(const SimilarityTiling& tiling, const ContrastGradient& o,
                   const ContrastGradientScratch& scratch, std::int64_t first, std::int64_t count,
                   float* block) {
  float* du = o.du + first * tiling.stride;
  const bool takes_all = o.loss.is_plain() || o.loss.kind == LossKind::supcon;
  for (std::int64_t column = 0; column < tiling.columns; column += kColumnBlock) {
    const std::int64_t columns = std::min(kColumnBlock, tiling.columns - column);
    const float* u_columns = o.u_all + column * tiling.stride;
    const Matrix weights =
        similarities(tiling, o.u + first * tiling.stride, count, u_columns, columns, block);
    for (std::int64_t i = 0; i < count; ++i) {
      float* q = block + i * kColumnBlock;
      if (takes_all) {
        weights_of_all(tiling, o, scratch, first + i, column, columns, q);
      } else {
        weights_of_negatives(tiling, o, first + i, column, columns, q);
      }
    }
    multiply_matrices(Form::plain, weights, Form::plain, embeddings(tiling, u_columns, columns),
                      embeddings(tiling, du, count), column > 0);
  }
  const auto scale = static_cast<float>(gradient_scale(tiling, o));
  for (std::int64_t d = 0; d < count * tiling.stride; ++d) du[d] *= scale;
}

/// For each local view the views whose semi-hard negative it is, in order.
void list_choices(const SimilarityTiling& tiling, const ContrastGradient& o,
                  const ContrastGradientScratch& scratch) {
  std::fill(scratch.chosen_by, scratch.chosen_by + tiling.rows, -1);
  for (std::int64_t view = tiling.columns - 1; view >= 0; --view) {
    const std::int64_t row = static_cast<std::int64_t>(o.second_all[view]) - tiling.first_row;
    if (row < 0 || row >= tiling.rows) continue;
    scratch.next[view] = scratch.chosen_by[row];
    scratch.chosen_by[row] = static_cast<std::int32_t>(view);
  }
}

void semi_hard_rows(const SimilarityTiling& tiling, const ContrastGradient& o,
                    const ContrastGradientScratch& scratch, std::int64_t first, std::int64_t count,
                    float* block) {
  std::array<float, kMostBlockRows> positives{};
  partner_similarities(tiling, o.u, first, count, block, positives.data());
  const double scale = gradient_scale(tiling, o);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t row = first + i;
    const std::int64_t view = tiling.self(row);
    const std::int64_t partner = tiling.partner(row);
    float* du = o.du + row * tiling.stride;
    std::fill(du, du + tiling.stride, 0.0F);
    const auto add = [&](double weight, std::int64_t of) {
      const float* from = o.u_all + of * tiling.stride;
      const auto factor = static_cast<float>(scale * weight);
      for (std::int64_t d = 0; d < tiling.stride; ++d) du[d] += factor * from[d];
    };
    add(partner_weight(o.loss, tiling.columns, {o.statistic_all, o.second_all}, view, partner,
                       double{positives[static_cast<std::size_t>(i)]}),
        partner);
    if (o.second_all[view] >= 0) {
      add(o.statistic_all[view], static_cast<std::int64_t>(o.second_all[view]));
    }
    for (std::int64_t by = scratch.chosen_by[row]; by >= 0; by = scratch.next[by]) {
      add(o.statistic_all[by], by);
    }
  }
}

void run_backward(const SimilarityTiling& tiling, const ContrastGradient& o,
                  const ContrastGradientScratch& scratch) {
  if (o.labels_all != nullptr) positive_ids(tiling, o.labels_all, scratch.ids);
  if (o.loss.semi_hard) list_choices(tiling, o, scratch);
  for_each_row_block(tiling, scratch.blocks,
                     [&](std::int64_t first, std::int64_t count, float* block) {
                       const auto& rows = o.loss.semi_hard ? semi_hard_rows : backward_rows;
                       rows(tiling, o, scratch, first, count, block);
                     });
}

}  // namespace

Prepared prepare(const ContrastiveBackward& op, const Context& context) {
  const SimilarityTiling tiling = similarity_tiling(op, context);
  const ContrastGradient operands{.u = context.tensor(op.u).as<float>(),
                                  .u_all = context.tensor(op.u_all).as<float>(),
                                  .labels_all = context.values<std::int32_t>(op.labels_all),
                                  .statistic_all = context.values<float>(op.statistic_all),
                                  .second_all = context.values<float>(op.second_all),
                                  .du = context.tensor(op.du).as<float>(),
                                  .loss = op.loss,
                                  .control = context.values<float>(op.control)};
  const std::size_t blocks = tiling.block_bytes();
  const std::int64_t ids = op.labels_all ? tiling.columns : 0;
  const std::int64_t lists = op.loss.semi_hard ? tiling.rows + tiling.columns : 0;
  return make_step(blocks + static_cast<std::size_t>(ids + lists) * sizeof(std::int32_t),
                   [=](Workspace workspace) {
                     auto* numbers = reinterpret_cast<std::int32_t*>(workspace.data() + blocks);
                     run_backward(tiling, operands,
                                  {.blocks = reinterpret_cast<float*>(workspace.data()),
                                   .ids = numbers,
                                   .chosen_by = numbers + ids,
                                   .next = numbers + ids + tiling.rows});
                   });
}

}  // namespace simclr::cpu
