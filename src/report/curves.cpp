#include "curves.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "chart.hpp"

namespace simclr {
namespace {

/// A column of the metrics, the name of its curve, and what its numbers are multiplied by.
struct Source {
  const char* column;
  const char* name;
  double factor = 1;
};

/// Where a start of the program went on from an earlier one's checkpoint.
std::vector<Chart::Mark> restart_marks(const MetricsTable& metrics) {
  std::vector<Chart::Mark> marks;
  double before = 0;
  const std::vector<double> restarts = metrics.column("restarts");
  for (std::size_t i = 0; i < restarts.size(); ++i) {
    const double now = std::isnan(restarts[i]) ? before : restarts[i];
    // The first step of every start has a row, so the checkpoint is of the step before it.
    const double step = metrics.steps()[i] - 1;
    if (now != before) marks.push_back({step, fmt::format("restart {} at step {}", now, step)});
    before = now;
  }
  return marks;
}

/// Takes the rows that have all columns which any row has, and the restarts among them.
void fill(Chart& chart, const MetricsTable& metrics, const std::vector<Source>& sources) {
  std::vector<std::pair<Source, std::vector<double>>> columns;
  for (const Source& source : sources) {
    if (metrics.has(source.column)) columns.emplace_back(source, metrics.column(source.column));
  }
  for (const auto& [source, values] : columns) chart.series.push_back({source.name, {}});
  for (std::size_t row = 0; row < metrics.rows(); ++row) {
    const auto complete = std::ranges::all_of(
        columns, [&](const auto& column) { return std::isfinite(column.second[row]); });
    if (!complete) continue;
    chart.steps.push_back(metrics.steps()[row]);
    for (std::size_t c = 0; c < columns.size(); ++c) {
      chart.series[c].y.push_back(columns[c].second[row] * columns[c].first.factor);
    }
  }
  for (const Chart::Mark& mark : restart_marks(metrics)) {
    if (!chart.steps.empty() && mark.step >= chart.steps.front()) chart.marks.push_back(mark);
  }
}

/// "" where the metrics have nothing of it.
std::string draw_filled(Chart chart, const RunData& run, const std::vector<Source>& sources) {
  fill(chart, run.metrics, sources);
  if (chart.steps.empty() || chart.series.empty()) return "";
  return draw(chart);
}

/// What a step's time goes into; what is in no phase is the rest of it.
std::string draw_phases(const RunData& run) {
  Chart chart{.id = "phases", .title = "Time of a step", .unit = "s", .stacked = true};
  fill(chart, run.metrics,
       {{"seconds_forward", "forward"},
        {"seconds_backward", "backward"},
        {"seconds_update", "update"},
        {"seconds_data", "waiting for data"},
        {"seconds_checkpoint", "checkpoint"},
        {"seconds_step", "other"}});
  if (!run.metrics.has("seconds_step") || chart.steps.empty()) return "";
  std::vector<double>& other = chart.series.back().y;
  for (std::size_t s = 0; s + 1 < chart.series.size(); ++s) {
    for (std::size_t i = 0; i < other.size(); ++i) other[i] -= chart.series[s].y[i];
  }
  for (double& seconds : other) seconds = std::max(0.0, seconds);
  // On a GPU a step is one graph, which has no phases.
  if (!run.metrics.has("seconds_forward")) chart.series.back().name = "computing";
  return draw(chart);
}

/// NT-Xent's value when no view is more like its partner than like the other 2N-2.
double chance_loss(const PretrainConfig& config) {
  return std::log(2 * static_cast<double>(config.batch_size) - 1);
}

}  // namespace

std::string draw_curves(const RunData& run) {
  constexpr double kPercent = 100, kPerMegabyte = 1e-6;
  std::string html = "<div class=\"charts\">\n";
  html += draw_filled(
      {.id = "loss", .title = "Loss", .levels = {{chance_loss(run.config), "chance, ln(2N-1)"}}},
      run, {{"loss", "loss"}});
  html += draw_filled({.id = "top1", .title = "Contrastive top-1", .unit = "%", .from_zero = true},
                      run, {{"contrastive_top1", "partner is nearest", kPercent}});
  html += draw_filled({.id = "learning-rate", .title = "Learning rate", .from_zero = true}, run,
                      {{"learning_rate", "learning rate"}});
  html += draw_filled(
      {.id = "throughput", .title = "Throughput", .unit = "images/s", .from_zero = true}, run,
      {{"images_per_second", "throughput"}});
  html += draw_phases(run);
  if (run.metrics.has("seconds_read")) {
    html += draw_filled(
        {.id = "reading", .title = "Fetching a step's data", .unit = "s", .from_zero = true}, run,
        {{"seconds_read", "reading thread"}, {"seconds_data", "waiting"}});
  }
  html += draw_filled(
      {.id = "moved", .title = "Data moved between rows", .unit = "MB", .from_zero = true}, run,
      {{"bytes_read", "from files", kPerMegabyte},
       {"bytes_fetched", "from other ranks", kPerMegabyte}});
  html += draw_filled({.id = "loss-scale", .title = "Loss scale", .from_zero = true}, run,
                      {{"loss_scale", "loss scale"}});
  html += draw_filled({.id = "skipped", .title = "Skipped steps", .from_zero = true}, run,
                      {{"skipped_steps", "skipped"}});
  return html + "</div>\n";
}

}  // namespace simclr
