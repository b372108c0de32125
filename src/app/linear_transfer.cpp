// linear-eval --protocol transfer

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "linear_eval.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/json_text.hpp"
#include "simclr/core/log.hpp"
#include "simclr/data/label_selection.hpp"

namespace simclr {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kLargestPenalty = 1e30;
constexpr double kMostPenalties = 1000;

const Options::Choices<TransferMetric> kMetrics{{"top1", TransferMetric::top1},
                                                {"mean-per-class", TransferMetric::mean_per_class},
                                                {"ap11", TransferMetric::ap11}};

std::optional<double> read_number(std::string_view text) {
  double value = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || rest != text.data() + text.size()) return std::nullopt;
  return value;
}

/// The penalties of LOW:HIGH:COUNT, from strong to weak; empty if the text is none.
std::vector<double> read_grid(const std::string& text) {
  const std::size_t first = text.find(':');
  const std::size_t second = text.find(':', first + 1);
  if (second == std::string::npos) return {};
  const std::string_view view = text;
  const double low = read_number(view.substr(0, first)).value_or(0);
  const double high = read_number(view.substr(first + 1, second - first - 1)).value_or(0);
  const double count = read_number(view.substr(second + 1)).value_or(0);
  const bool increasing = low < high ? count >= 2 : low == high && count == 1;
  if (!(low > 0 && high <= kLargestPenalty && increasing && count <= kMostPenalties) ||
      count != std::floor(count)) {
    return {};
  }
  std::vector<double> grid;
  for (double i = 0; i < count; ++i) {
    grid.push_back(i + 1 == count ? low : high * std::pow(low / high, i / (count - 1)));
  }
  return grid;
}

/// Refuses another metric than the one of multi-label data, and predictions of these.
void require_metric(const LinearOptions& linear, bool multi_label) {
  if (!multi_label) return;
  if (linear.metric != TransferMetric::ap11) {
    refuse("option --metric: multi-label data are measured by ap11 only");
  }
  if (linear.predictions) refuse("option --predictions: multi-label samples have no one class");
}

/// The samples that are held out for validation; none if --validation names a directory.
std::vector<std::int64_t> held_out(const LinearOptions& linear, std::int64_t samples,
                                   const std::vector<std::int64_t>& labels) {
  const auto fraction = validation_fraction(linear.validation);
  if (!fraction) return {};
  // Multi-label samples are drawn as if they had one class.
  const std::vector<std::int64_t> one_class(static_cast<std::size_t>(samples));
  return draw_validation(labels.empty() ? one_class : labels, *fraction, linear.label_seed,
                         "validation");
}

Json details_of(const TransferResult& result, const LinearOptions& linear,
                std::int64_t validation_samples) {
  Json path = Json::array();
  for (const auto& point : result.path) {
    path.push_back({{"lambda", point.penalty},
                    {"validation", point.validation},
                    {"iterations", point.iterations},
                    {"converged", point.converged}});
  }
  const auto metric =
      std::ranges::find(kMetrics, linear.metric, [](const auto& c) { return c.second; });
  const bool end_won = result.chosen == 0 || result.chosen + 1 == result.path.size();
  return {{"metric", metric->first},
          {"test", result.test},
          {"validation", result.path[result.chosen].validation},
          {"validation_samples", validation_samples},
          {"lambda", result.path[result.chosen].penalty},
          {"end_of_grid_won", end_won},
          {"objective", result.objective},
          {"iterations", result.iterations},
          {"converged", result.converged},
          {"path", path}};
}

void warn_of(const TransferResult& result) {
  if (result.path.size() > 1 && (result.chosen == 0 || result.chosen + 1 == result.path.size())) {
    log::warning(
        "the {} penalty of the grid, lambda = {:g}, is the best on the validation data; widen "
        "--l2-grid",
        result.chosen == 0 ? "strongest" : "weakest", result.path[result.chosen].penalty);
  }
  const auto stopped = std::ranges::count(result.path, false, &TransferResult::Point::converged) +
                       (result.converged ? 0 : 1);
  if (stopped > 0) {
    log::warning("{} of {} fits stopped before they converged; raise --max-iterations", stopped,
                 result.path.size() + 1);
  }
}

}  // namespace

std::optional<double> validation_fraction(const std::string& validation) {
  return read_number(validation);
}

void declare_transfer(Options& options, LinearOptions& linear) {
  options.group("transfer")
      .add("l2-grid", linear.l2_grid,
           "penalties lambda to try, evenly spaced in their logarithm: lambda/2 |W|^2 is added to "
           "the sum of the samples' losses")
      .argument("LOW:HIGH:COUNT")
      .rule(fmt::format("LOW:HIGH:COUNT with LOW above 0 and below HIGH, HIGH at most {:g}, COUNT "
                        "from 2 to {}, or LOW equal to HIGH and COUNT 1",
                        kLargestPenalty, kMostPenalties),
            [](const std::string& text) { return !read_grid(text).empty(); })
      .add("validation", linear.validation,
           "labeled images on which the penalty is chosen: a directory of shards, or the fraction "
           "of each class of the training data that is held out for it")
      .argument("DIR_OR_FRACTION")
      .rule("a directory of shards, or a number above 0 and below 1",
            [](const std::string& text) {
              const auto fraction = validation_fraction(text);
              return !text.empty() && (!fraction || (*fraction > 0 && *fraction < 1));
            })
      .choice(
          "metric", linear.metric, kMetrics,
          "what the penalty is chosen by and the test data are measured by. top1: accuracy; "
          "mean-per-class: mean of the classes' accuracies; ap11: mean of the classes' 11-point "
          "average precisions, the only one for multi-label data");
}

TransferData transfer_data(const LinearOptions& linear) {
  return {.multi_label = true,
          .validation = validation_fraction(linear.validation) ? "" : linear.validation};
}

void check_transfer(const LinearOptions& linear, std::int64_t samples,
                    const std::vector<std::int64_t>& labels) {
  require_metric(linear, labels.empty());
  held_out(linear, samples, labels);
}

PreparedEvaluation prepare_transfer(EvaluationJob& job, const LinearOptions& linear,
                                    std::unique_ptr<EvaluationResult> result) {
  require_metric(linear, job.multi_label());
  const Predictions::Keep keep = result->kept_predictions();
  job.require_classifier_fits(
      transfer_classifier_bytes(job.feature_channels(), job.classes(), job.threads()), keep);
  const auto work = [&job, &linear, keep, &to = *result,
                     drawn = held_out(linear, job.train_samples(), job.train_labels())] {
    TransferRows train = job.train_rows();
    TransferRows validation;
    if (drawn.empty()) {
      validation = job.validation_rows();
    } else {
      const auto rows = job.rows_of_samples(drawn, train.h.rows());
      validation = train.subset(rows);
      train = train.without(rows);
    }
    const TransferResult found = linear_transfer(train, validation, job.test_rows(),
                                                 {.classes = job.classes(),
                                                  .multi_label = job.multi_label(),
                                                  .penalties = read_grid(linear.l2_grid),
                                                  .metric = linear.metric,
                                                  .max_iterations = linear.cached.max_iterations,
                                                  .keep = keep},
                                                 job.world());
    const Json details =
        details_of(found, linear, sum_over_ranks(job.world(), validation.h.rows()));
    if (job.world().rank() == 0) warn_of(found);
    if (job.multi_label()) {
      to.report(fmt::format("mean average precision {:.2f} % of {} test samples", 100 * found.test,
                            job.test_samples()),
                json_text(details));
    } else {
      to.report(found.predictions, json_text(details));
    }
  };
  return {std::move(result), work};
}

}  // namespace simclr
