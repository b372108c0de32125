#include "simclr/eval/transfer.hpp"

#include <omp.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>

#include "logistic.hpp"
#include "simclr/core/check.hpp"
#include "simclr/eval/metrics.hpp"

namespace simclr {
namespace {

Predictions predict(const std::vector<double>& scores, const TransferRows& rows,
                    const TransferConfig& config) {
  Predictions predictions(config.classes, config.keep);
  predictions.append_rows(rows.h.rows());
  const auto classes = static_cast<std::size_t>(config.classes);
  for (std::size_t i = 0; i < rows.h.labels.size(); ++i) {
    predictions.set(static_cast<std::int64_t>(i), rows.h.labels[i],
                    std::span(scores).subspan(i * classes, classes));
  }
  return predictions;
}

/// The marks of rows that each have one class.
std::vector<std::uint8_t> marks_of(const TransferRows& rows, std::int64_t classes) {
  std::vector<std::uint8_t> marks(static_cast<std::size_t>(rows.h.rows() * classes), kAbsent);
  for (std::size_t i = 0; i < rows.h.labels.size(); ++i) {
    marks[i * static_cast<std::size_t>(classes) + static_cast<std::size_t>(rows.h.labels[i])] =
        kPresent;
  }
  return marks;
}

struct Measured {
  double metric = 0;
  Predictions predictions;
};

/// Collective.
Measured measure(const std::vector<double>& scores, const TransferRows& rows,
                 const TransferConfig& config, Communicator& world) {
  Measured result;
  if (!config.multi_label) result.predictions = predict(scores, rows, config);
  if (config.metric == TransferMetric::ap11) {
    const auto marks = config.multi_label ? rows.marks : marks_of(rows, config.classes);
    const auto precision = mean_average_precision_11(gather_parts(world, scores),
                                                     gather_parts(world, marks), config.classes);
    require(precision.has_value(), "the data must have a sample of some class");
    result.metric = *precision;
  } else {
    const ClassAccuracy accuracy = class_accuracy(result.predictions, world);
    result.metric =
        config.metric == TransferMetric::top1 ? accuracy.all.top1 : accuracy.mean_per_class;
  }
  return result;
}

}  // namespace

TransferRows TransferRows::subset(const std::vector<std::int64_t>& rows) const {
  TransferRows result{.h = {.channels = h.channels, .values = {}, .labels = {}}, .marks = {}};
  const auto append = [&](const auto& from, auto& to) {
    const std::int64_t width = std::ssize(from) / std::max(h.rows(), std::int64_t{1});
    to.reserve(rows.size() * static_cast<std::size_t>(width));
    for (const std::int64_t row : rows) {
      to.insert(to.end(), from.begin() + row * width, from.begin() + (row + 1) * width);
    }
  };
  append(h.values, result.h.values);
  append(h.labels, result.h.labels);
  append(marks, result.marks);
  return result;
}

TransferRows TransferRows::without(const std::vector<std::int64_t>& rows) const {
  std::vector<std::int64_t> others;
  for (std::int64_t row = 0; row < h.rows(); ++row) {
    if (!std::ranges::binary_search(rows, row)) others.push_back(row);
  }
  return subset(others);
}

double transfer_classifier_bytes(std::int64_t channels, std::int64_t classes, int threads) {
  return LogisticRegression::bytes({.channels = channels, .classes = classes}, threads);
}

TransferResult linear_transfer(const TransferRows& train, const TransferRows& validation,
                               const TransferRows& test, const TransferConfig& config,
                               Communicator& world) {
  require(!config.penalties.empty(), "a path must have a penalty");
  require(!config.multi_label || config.metric == TransferMetric::ap11,
          "multi-label data are measured by average precision");
  LogisticRegression regression(
      {.channels = train.h.channels, .classes = config.classes, .multi_label = config.multi_label},
      {&train}, world);
  TransferResult result;
  LogisticRegression::Fit fit{.model = regression.zero_model()};
  LogisticRegression::Model best;
  for (const double penalty : config.penalties) {
    fit = regression.fit(penalty, fit.model, config.max_iterations);
    const double metric =
        measure(regression.scores(fit.model, validation), validation, config, world).metric;
    result.path.push_back({penalty, metric, fit.iterations, fit.converged});
    if (best.empty() || metric > result.path[result.chosen].validation) {
      result.chosen = result.path.size() - 1;
      best = fit.model;
    }
  }
  regression.set_parts({&train, &validation});
  fit = regression.fit(config.penalties[result.chosen], best, config.max_iterations);
  result.objective = fit.objective;
  result.iterations = fit.iterations;
  result.converged = fit.converged;
  Measured measured = measure(regression.scores(fit.model, test), test, config, world);
  result.test = measured.metric;
  result.predictions = std::move(measured.predictions);
  return result;
}

}  // namespace simclr
