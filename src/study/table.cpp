// The tables of a study: for readers, for programs, and as a page.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "simclr/core/check.hpp"
#include "simclr/core/json_text.hpp"
#include "simclr/core/names.hpp"
#include "simclr/io/atomic_file.hpp"
#include "simclr/report/report.hpp"
#include "simclr/study/study.hpp"

namespace simclr {
namespace {

using Json = nlohmann::ordered_json;

/// The values of a metric in the repetitions of a cell.
struct Statistics {
  std::vector<double> values;

  [[nodiscard]] double mean() const {
    double sum = 0;
    for (const double value : values) sum += value;
    return sum / static_cast<double>(values.size());
  }
  /// The standard deviation of the sample, with n - 1; nothing for one value.
  [[nodiscard]] std::optional<double> deviation() const {
    if (values.size() < 2) return std::nullopt;
    double squares = 0;
    for (const double value : values) squares += (value - mean()) * (value - mean());
    return std::sqrt(squares / static_cast<double>(values.size() - 1));
  }
};

struct Line {
  std::vector<std::string> values;  ///< of the options of axes, without seeds
  std::vector<std::size_t> places;  ///< of the values on the axes, without axes of seeds
  std::map<std::string, Statistics> metrics;
  std::vector<std::string> problems;
};

/// All that the tables show.
struct Table {
  std::vector<std::string> options;    ///< as written, without seeds
  std::vector<const StudyAxis*> axes;  ///< without seeds
  std::vector<std::string> metrics;    ///< COMMAND.NAME
  std::vector<Line> lines;
  std::string paper_metric;  ///< empty without published figures
};

/// Whether a metric is a fraction.
bool is_accuracy(const std::string& metric) {
  const std::string name = metric.substr(metric.find('.') + 1);
  static const std::set<std::string> others{"top5",         "mean_per_class", "test",
                                            "validation",   "recall_at_1",    "recall_at_5",
                                            "recall_at_10", "map_at_r"};
  return name.ends_with("top1") || others.contains(name);
}

void fill_line(const Study& study, const StudyCell& cell, Line& line) {
  line.values.clear();
  line.places.clear();
  std::size_t at = 0;
  for (const StudyAxis& axis : study.axes()) {
    const auto begin = cell.values.begin() + static_cast<std::ptrdiff_t>(at);
    const std::vector<std::string> value(begin,
                                         begin + static_cast<std::ptrdiff_t>(axis.options.size()));
    at += value.size();
    if (axis.is_seed()) continue;
    line.values.insert(line.values.end(), value.begin(), value.end());
    line.places.push_back(
        static_cast<std::size_t>(std::ranges::find(axis.values, value) - axis.values.begin()));
  }
}

Table make_table(const Study& study) {
  Table table;
  for (const StudyAxis& axis : study.axes()) {
    if (axis.is_seed()) continue;
    table.axes.push_back(&axis);
    for (const auto& option : axis.options) table.options.push_back(option.written);
  }
  table.lines.resize(study.rows());
  std::set<std::pair<std::size_t, std::size_t>> seen;  // works that several cells of a line share
  for (const StudyCell& cell : study.cells()) {
    Line& line = table.lines[cell.row];
    fill_line(study, cell, line);
    for (const std::size_t w : cell.works) {
      if (!seen.emplace(cell.row, w).second) continue;
      const StudyOutcome outcome = study_outcome(study, w);
      const std::string& command = study.works()[w].command;
      if (!outcome.done) {
        line.problems.push_back(fmt::format("{}, {}: {}", cell.name, command, outcome.problem));
      }
      for (const auto& [name, value] : outcome.metrics) {
        const std::string metric = fmt::format("{}.{}", command, name);
        if (std::ranges::find(table.metrics, metric) == table.metrics.end()) {
          table.metrics.push_back(metric);
        }
        line.metrics[metric].values.push_back(value);
      }
    }
  }
  return table;
}

/// The metric that the published figures stand beside, or that a page shows first.
std::string main_metric(const Study& study, const Table& table) {
  const std::string& asked = study.config().paper_metric;
  if (!asked.empty()) return asked;
  const auto first = std::ranges::find_if(table.metrics, [](const std::string& metric) {
    return metric.ends_with(".top1") || metric.ends_with(".test");
  });
  if (first != table.metrics.end()) return *first;
  return table.metrics.empty() ? "" : table.metrics.front();
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + '"';
}

std::string csv_line(const std::vector<std::string>& fields) {
  std::vector<std::string> quoted;
  quoted.reserve(fields.size());
  for (const std::string& field : fields) quoted.push_back(csv_field(field));
  return fmt::format("{}\n", fmt::join(quoted, ","));
}

std::string csv_text(const Study& study, const Table& table) {
  std::vector<std::string> fields = table.options;
  for (const std::string& metric : table.metrics) {
    for (const char* what : {"_mean", "_deviation", "_count"}) fields.push_back(metric + what);
  }
  fields.insert(fields.end(), {"paper", "problem"});
  std::string text = csv_line(fields);
  for (std::size_t row = 0; row < table.lines.size(); ++row) {
    const Line& line = table.lines[row];
    fields = line.values;
    for (const std::string& metric : table.metrics) {
      const auto found = line.metrics.find(metric);
      if (found == line.metrics.end()) {
        fields.insert(fields.end(), {"", "", "0"});
        continue;
      }
      const auto deviation = found->second.deviation();
      fields.push_back(value_text(found->second.mean()));
      fields.push_back(deviation ? value_text(*deviation) : "");
      fields.push_back(std::to_string(found->second.values.size()));
    }
    fields.push_back(study.paper()[row] ? value_text(*study.paper()[row]) : "");
    fields.push_back(fmt::format("{}", fmt::join(line.problems, "; ")));
    text += csv_line(fields);
  }
  return text;
}

std::string md_line(const std::vector<std::string>& fields) {
  std::string text = "|";
  for (const std::string& field : fields) {
    text += ' ';
    for (const char c : field) text += c == '|' ? std::string("\\|") : std::string(1, c);
    text += " |";
  }
  return text + "\n";
}

/// "51.2 ± 0.4" in the unit of the metric.
std::string shown(const std::string& metric, const Statistics& of) {
  const auto number = [&](double value) {
    return is_accuracy(metric) ? fmt::format("{:.1f}", 100 * value) : fmt::format("{:.4g}", value);
  };
  const auto deviation = of.deviation();
  return number(of.mean()) + (deviation ? " ± " + number(*deviation) : "");
}

std::string markdown(const Study& study, const Table& table) {
  const bool published = !table.paper_metric.empty();
  std::vector<std::string> head = table.options;
  for (const std::string& metric : table.metrics) {
    head.push_back(metric + (is_accuracy(metric) ? ", %" : ""));
    if (published && metric == table.paper_metric) head.emplace_back("published");
  }
  std::string notes, text = "## " + study.config().name + "\n\n";
  if (published) {
    const std::string& title = study.config().paper_title;
    text += fmt::format("Published figures beside {}{}{}.\n\n", table.paper_metric,
                        title.empty() ? "" : ": ", title);
  }
  text += md_line(head) + md_line(std::vector<std::string>(head.size(), "---"));
  for (std::size_t row = 0; row < table.lines.size(); ++row) {
    const Line& line = table.lines[row];
    std::vector<std::string> fields = line.values;
    for (const std::string& metric : table.metrics) {
      const auto found = line.metrics.find(metric);
      fields.push_back(found == line.metrics.end() ? "–" : shown(metric, found->second));
      if (published && metric == table.paper_metric) {
        fields.push_back(study.paper()[row] ? value_text(*study.paper()[row]) : "–");
      }
    }
    text += md_line(fields);
    for (const std::string& problem : line.problems) notes += "* " + problem + "\n";
  }
  const std::size_t runs = study.cells().size() / study.rows();
  if (runs > 1) text += fmt::format("\nMean ± deviation over up to {} cells each.\n", runs);
  return text + (notes.empty() ? "" : "\nWithout a result:\n\n" + notes);
}

Json page_json(const Study& study, const Table& table) {
  Json axes = Json::array(), metrics = Json::array(), lines = Json::array();
  for (const StudyAxis* axis : table.axes) {
    std::vector<std::string> names, values;
    for (const auto& option : axis->options) names.push_back(option.written);
    for (const auto& value : axis->values) {
      values.push_back(fmt::format("{}", fmt::join(value, " & ")));
    }
    axes.push_back({{"name", fmt::format("{}", fmt::join(names, " & "))}, {"values", values}});
  }
  std::vector<std::string> ordered = table.metrics;
  std::ranges::stable_partition(
      ordered, [&](const std::string& metric) { return metric == main_metric(study, table); });
  for (const std::string& metric : ordered) {
    metrics.push_back({{"name", metric}, {"percent", is_accuracy(metric)}});
  }
  for (std::size_t row = 0; row < table.lines.size(); ++row) {
    Json values = Json::object();
    for (const auto& [name, of] : table.lines[row].metrics) {
      const auto deviation = of.deviation();
      values[name] = {{"mean", of.mean()},
                      {"deviation", deviation ? Json(*deviation) : Json()},
                      {"count", of.values.size()}};
    }
    const auto& paper = study.paper()[row];
    lines.push_back({{"places", table.lines[row].places},
                     {"problems", table.lines[row].problems},
                     {"paper", paper ? Json(*paper) : Json()},
                     {"metrics", values}});
  }
  Json json{{"name", study.config().name}, {"axes", axes}, {"metrics", metrics}, {"lines", lines}};
  json["paper"] = Json();
  if (!table.paper_metric.empty()) {
    json["paper"] = {{"title", study.config().paper_title}, {"metric", table.paper_metric}};
  }
  return json;
}

}  // namespace

void write_study_tables(const Study& study) {
  Table table = make_table(study);
  if (!study.config().paper.empty()) table.paper_metric = main_metric(study, table);
  write_file(study.directory() / "table.md", markdown(study, table));
  write_file(study.directory() / "table.csv", csv_text(study, table));
  write_study_page(study.directory() / "study.html", json_text(page_json(study, table)));
}

}  // namespace simclr
