#include "logistic.hpp"

#include <omp.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <utility>

#include "dense.hpp"
#include "lbfgs.hpp"
#include "simclr/io/shard_set.hpp"

namespace simclr {
namespace {

constexpr std::int64_t kRowBlock = 64;  // rows at a time: a block and its scores fit in a cache
constexpr std::int64_t kMomentRows = 512;

/// Largest gradient of a converged fit in units of the square root of J. In coordinates in which
/// the second derivative is about the identity, J is then within |gradient|^2 / 2 of its minimum.
constexpr double kTolerance = 3e-6;

/// A fit has ended when another one from its result, with the curvature found there, lowers J by
/// less than this part.
constexpr double kWorthAnother = 0.1;

constexpr int kHistory = 20;  // pairs of L-BFGS

struct Losses {
  double loss = 0, uncertainty = 0;
};

/// Replaces logits by the gradient of the cross-entropy of their softmax with `label`. The terms of
/// the other classes are summed on their own: with p near 1, 1 - p would keep few digits.
Losses softmax_loss(std::span<double> logits, std::size_t label) {
  const auto best = static_cast<std::size_t>(std::ranges::max_element(logits) - logits.begin());
  const double largest = logits[best];
  const double of_label = logits[label];
  double others = 0;  // than the largest
  for (std::size_t k = 0; k < logits.size(); ++k) {
    logits[k] = std::exp(logits[k] - largest);
    if (k != best) others += logits[k];
  }
  Losses result{largest - of_label + std::log1p(others), 0};
  for (double& value : logits) {
    value /= 1 + others;
    result.uncertainty += value * (1 - value);
  }
  logits[label] = label == best ? -others / (1 + others) : logits[label] - 1;
  return result;
}

/// The same for a sigmoid of each class.
Losses sigmoid_loss(std::span<double> logits, std::span<const std::uint8_t> marks) {
  Losses result;
  for (std::size_t k = 0; k < logits.size(); ++k) {
    if (marks[k] == kIgnored) {
      logits[k] = 0;
      continue;
    }
    const bool present = marks[k] == kPresent;
    const double wrong = present ? -logits[k] : logits[k];  // how far it is on the wrong side
    const double small = std::exp(-std::abs(wrong));
    const double p = wrong > 0 ? 1 / (1 + small) : small / (1 + small);
    result.loss += std::max(wrong, 0.0) + std::log1p(small);
    result.uncertainty += p * (1 - p);
    logits[k] = present ? -p : p;
  }
  return result;
}

/// Adds up what each thread has collected, in the order of the threads.
void add_threads(const std::vector<std::vector<double>>& of_threads, std::span<double> sum) {
  for (const auto& part : of_threads) {
    for (std::size_t i = 0; i < part.size(); ++i) sum[i] += part[i];
  }
}

/// Calls work(thread, part, first row, rows) for the blocks of all parts, in parallel.
template <class Work>
void for_each_block(const LogisticRegression::Parts& parts, Work work) {
  for (const TransferRows* part : parts) {
    const std::int64_t rows = part->h.rows();
#pragma omp parallel for schedule(static)
    for (std::int64_t first = 0; first < rows; first += kRowBlock) {
      work(static_cast<std::size_t>(omp_get_thread_num()), *part, first,
           std::min(kRowBlock, rows - first));
    }
  }
}

}  // namespace

LogisticRegression::LogisticRegression(const Shape& shape, Parts parts, Communicator& world)
    : shape_(shape),
      inputs_(padded_columns(shape.channels + 1)),
      outputs_(padded_columns(shape.classes)),
      world_(&world),
      center_(static_cast<std::size_t>(shape.channels)) {
  std::vector<double> sums(center_.size() + 1);  // the last one counts rows
  for (const TransferRows* part : parts) {
    for (std::size_t i = 0; i < part->h.values.size(); ++i) {
      sums[i % center_.size()] += part->h.values[i];
    }
    sums.back() += static_cast<double>(part->h.rows());
  }
  sum_over_ranks(world, sums);
  for (std::size_t c = 0; c < center_.size(); ++c) center_[c] = sums[c] / sums.back();
  set_parts(std::move(parts));
}

void LogisticRegression::set_parts(Parts parts) {
  parts_ = std::move(parts);
  moments_.assign(static_cast<std::size_t>(inputs_ * inputs_), 0);
  std::vector<double> x(static_cast<std::size_t>(kMomentRows * inputs_));
  for (const TransferRows* part : parts_) {
    for (std::int64_t first = 0; first < part->h.rows(); first += kMomentRows) {
      const std::int64_t rows = std::min(kMomentRows, part->h.rows() - first);
      load_rows(*part, first, rows, x);
#pragma omp parallel for schedule(static)
      for (std::int64_t input = 0; input < inputs_; input += kRowBlock) {
        add_product({.a = x.data() + input,
                     .a_row = 1,
                     .a_step = inputs_,
                     .b = x.data(),
                     .b_step = inputs_,
                     .c = moments_.data() + input * inputs_,
                     .c_row = inputs_,
                     .rows = std::min(kRowBlock, inputs_ - input),
                     .steps = rows,
                     .columns = inputs_});
      }
    }
  }
  sum_over_ranks(*world_, moments_);
  rows_ = moments_[static_cast<std::size_t>(shape_.channels * (inputs_ + 1))];
}

LogisticRegression::Model LogisticRegression::zero_model() const {
  return Model(static_cast<std::size_t>(inputs_ * outputs_));
}

/// Centered rows, each followed by 1 for the bias, then zeros.
void LogisticRegression::load_rows(const TransferRows& rows, std::int64_t first, std::int64_t count,
                                   std::span<double> out) const {
  const auto channels = static_cast<std::size_t>(shape_.channels);
  const float* from = rows.h.values.data() + first * shape_.channels;
  for (std::int64_t i = 0; i < count; ++i, from += channels) {
    const auto row = out.subspan(static_cast<std::size_t>(i * inputs_));
    for (std::size_t c = 0; c < channels; ++c) row[c] = from[c] - center_[c];
    row[channels] = 1;
  }
}

/// Adds up the loss, and its gradient unless `gradient` is empty, over this rank's rows.
LogisticRegression::Sums LogisticRegression::add_up(const Model& model,
                                                    std::span<double> gradient) const {
  const auto threads = static_cast<std::size_t>(omp_get_max_threads());
  struct ThreadWork {
    std::vector<double> x, scores;
    Sums sums;
  };
  std::vector<ThreadWork> workspaces(
      threads, {std::vector<double>(static_cast<std::size_t>(kRowBlock * inputs_)),
                std::vector<double>(static_cast<std::size_t>(kRowBlock * outputs_)),
                {}});
  std::vector<std::vector<double>> gradients(threads, std::vector<double>(gradient.size()));
  const auto classes = static_cast<std::size_t>(shape_.classes);
  for_each_block(parts_, [&](std::size_t thread, const TransferRows& part, std::int64_t first,
                             std::int64_t rows) {
    ThreadWork& work = workspaces[thread];
    load_rows(part, first, rows, work.x);
    std::ranges::fill(work.scores, 0.0);
    add_product({.a = work.x.data(),
                 .a_row = inputs_,
                 .a_step = 1,
                 .b = model.data(),
                 .b_step = outputs_,
                 .c = work.scores.data(),
                 .c_row = outputs_,
                 .rows = rows,
                 .steps = shape_.channels + 1,
                 .columns = outputs_});
    for (std::int64_t i = 0; i < rows; ++i) {
      const auto row = static_cast<std::size_t>(first + i);
      const auto logits =
          std::span(work.scores).subspan(static_cast<std::size_t>(i * outputs_), classes);
      const Losses losses =
          shape_.multi_label
              ? sigmoid_loss(logits, std::span(part.marks).subspan(row * classes, classes))
              : softmax_loss(logits, static_cast<std::size_t>(part.h.labels[row]));
      work.sums.loss += losses.loss;
      work.sums.uncertainty += losses.uncertainty;
    }
    if (gradient.empty()) return;
    add_product({.a = work.x.data(),
                 .a_row = 1,
                 .a_step = inputs_,
                 .b = work.scores.data(),
                 .b_step = outputs_,
                 .c = gradients[thread].data(),
                 .c_row = outputs_,
                 .rows = shape_.channels + 1,
                 .steps = rows,
                 .columns = outputs_});
  });
  add_threads(gradients, gradient);
  Sums sums;
  for (const ThreadWork& work : workspaces) {
    sums.loss += work.sums.loss;
    sums.uncertainty += work.sums.uncertainty;
  }
  return sums;
}

double LogisticRegression::squared_weights(const Model& model) const {
  double sum = 0;
  for (std::int64_t i = 0; i < shape_.channels * outputs_; ++i) {
    sum += model[static_cast<std::size_t>(i)] * model[static_cast<std::size_t>(i)];
  }
  return sum;
}

/// Computes the header's L, with curvature q. In padded rows and columns L is the identity.
std::vector<double> LogisticRegression::factor(double penalty, double curvature) const {
  std::vector<double> l(moments_.size());
  for (std::size_t i = 0; i < l.size(); ++i) l[i] = curvature * moments_[i];
  for (std::int64_t c = 0; c < inputs_; ++c) {
    double& diagonal = l[static_cast<std::size_t>(c * (inputs_ + 1))];
    if (c < shape_.channels) diagonal += penalty;
    if (c > shape_.channels) diagonal = 1;
  }
  cholesky(l, inputs_);
  return l;
}

LogisticRegression::Fit LogisticRegression::fit(double penalty, const Model& start,
                                                int max_iterations) const {
  Fit result{.model = start};
  double before = 0;
  do {
    const Sums own = add_up(result.model, {});
    std::array<double, 2> sums{own.loss, own.uncertainty};
    sum_over_ranks(*world_, sums);
    before = sums[0] + penalty / 2 * squared_weights(result.model);
    // Keeps a little curvature where all samples are classified with certainty.
    const double curvature =
        std::max(sums[1] / (rows_ * static_cast<double>(shape_.classes)), 1e-9);
    const std::vector<double> l = factor(penalty, curvature);
    const auto model_of = [&](std::span<const double> point) {
      Model model(point.begin(), point.end());
      solve_upper(l, inputs_, outputs_, model);
      return model;
    };
    const Function objective = [&](std::span<const double> point, std::span<double> gradient) {
      const Model model = model_of(point);
      std::vector<double> summed(point.size() + 1);  // and the loss
      summed.back() = add_up(model, std::span(summed).first(point.size())).loss;
      sum_over_ranks(*world_, summed);
      for (std::size_t i = 0; i < gradient.size(); ++i) {
        const bool is_weight = static_cast<std::int64_t>(i) < shape_.channels * outputs_;
        gradient[i] = summed[i] + (is_weight ? penalty * model[i] : 0);
      }
      solve_lower(l, inputs_, outputs_, gradient);
      return summed.back() + penalty / 2 * squared_weights(model);
    };
    std::vector<double> point = result.model;
    multiply_upper(l, inputs_, outputs_, point);
    LbfgsResult found = minimize_lbfgs(objective, std::move(point),
                                       {.max_iterations = max_iterations - result.iterations,
                                        .history = kHistory,
                                        .gradient_tolerance = kTolerance * std::sqrt(before),
                                        .relative_noise = 1e-14});
    result = {model_of(found.point), found.objective, result.iterations + found.iterations,
              found.converged};
  } while (result.converged && result.objective < (1 - kWorthAnother) * before &&
           result.iterations < max_iterations);
  return result;
}

std::vector<double> LogisticRegression::scores(const Model& model, const TransferRows& rows) const {
  const auto classes = static_cast<std::size_t>(shape_.classes);
  std::vector<double> result(static_cast<std::size_t>(rows.h.rows()) * classes);
  for_each_block(
      {&rows}, [&](std::size_t, const TransferRows& part, std::int64_t first, std::int64_t count) {
        std::vector<double> x(static_cast<std::size_t>(kRowBlock * inputs_));
        std::vector<double> block(static_cast<std::size_t>(kRowBlock * outputs_));
        load_rows(part, first, count, x);
        add_product({.a = x.data(),
                     .a_row = inputs_,
                     .a_step = 1,
                     .b = model.data(),
                     .b_step = outputs_,
                     .c = block.data(),
                     .c_row = outputs_,
                     .rows = count,
                     .steps = shape_.channels + 1,
                     .columns = outputs_});
        for (std::int64_t i = 0; i < count; ++i) {
          std::copy_n(block.begin() + i * outputs_, classes,
                      result.begin() + static_cast<std::ptrdiff_t>(classes) * (first + i));
        }
      });
  return result;
}

double LogisticRegression::bytes(const Shape& shape, int threads) {
  const auto inputs = static_cast<double>(padded_columns(shape.channels + 1));
  const auto outputs = static_cast<double>(padded_columns(shape.classes));
  // L-BFGS: two vectors for each pair of its history, three points and gradients, a direction;
  // then models, the sum over ranks, and each thread's gradient.
  const double vectors = 2 * kHistory + 12 + threads;
  return sizeof(double) * (vectors * inputs * outputs + 2 * inputs * inputs);
}

}  // namespace simclr
