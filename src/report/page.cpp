#include "page.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "run_data.hpp"
#include "simclr/core/check.hpp"

namespace simclr {
namespace {

std::string option(const RunData& run, std::string_view name) {
  const auto found = std::ranges::find(run.options, name, &Facts::value_type::first);
  return found != run.options.end() ? found->second : "";
}

/// Splits the rows into at most kMaxPoints stretches of about equal length and returns the begin of
/// each, then the end of the last. The first and the last row are separate stretches.
std::vector<std::size_t> stretch_bounds(std::size_t rows) {
  const std::size_t count = std::min(rows, kMaxPoints);
  std::vector<std::size_t> bounds(count + 1);
  for (std::size_t i = 0; i < count; ++i) {
    bounds[i] = i == 0 || rows == count ? i : 1 + (rows - 2) * (i - 1) / (count - 2);
  }
  bounds[count] = rows;
  return bounds;
}

/// Minimum, maximum and mean of finite values; non-finite without any.
struct Extent {
  double least = std::numeric_limits<double>::infinity(), greatest = -least;
  double sum = 0;
  int count = 0;

  void add(double value) {
    if (!std::isfinite(value)) return;
    least = std::min(least, value);
    greatest = std::max(greatest, value);
    sum += value;
    ++count;
  }
  [[nodiscard]] double mean() const { return count == 1 ? least : sum / count; }
};

Json column_json(const std::vector<double>& values, const std::vector<std::size_t>& bounds) {
  Json means = Json::array(), least = Json::array(), greatest = Json::array();
  for (std::size_t s = 0; s + 1 < bounds.size(); ++s) {
    Extent extent;
    for (std::size_t i = bounds[s]; i < bounds[s + 1]; ++i) extent.add(values[i]);
    means.push_back(extent.mean());  // JSON writes NaN and infinity as null
    least.push_back(extent.least);
    greatest.push_back(extent.greatest);
  }
  Json json{{"values", std::move(means)}};
  if (values.size() + 1 > bounds.size()) {
    json["least"] = std::move(least);
    json["greatest"] = std::move(greatest);
  }
  return json;
}

/// Adds `step` and `columns` to the JSON object.
void add_curves(Json& json, const MetricsTable& metrics) {
  const std::vector<std::size_t> bounds = stretch_bounds(metrics.rows());
  Json& steps = json["step"] = Json::array();
  for (std::size_t s = 0; s + 1 < bounds.size(); ++s) {
    steps.push_back(metrics.steps()[bounds[s + 1] - 1]);
  }
  Json& columns = json["columns"] = Json::object();
  for (const std::string& name : metrics.names()) {
    if (name != "step") columns[name] = column_json(metrics.column(name), bounds);
  }
}

Json restarts_json(const MetricsTable& metrics) {
  Json restarts = Json::array();
  double before = 0;
  const std::vector<double> column = metrics.column("restarts");
  for (std::size_t i = 0; i < column.size(); ++i) {
    const double now = std::isnan(column[i]) ? before : column[i];
    // The first step after a restart always has a row, so the checkpoint is of the step before.
    if (now != before) restarts.push_back({{"number", now}, {"step", metrics.steps()[i] - 1}});
    before = now;
  }
  return restarts;
}

/// Sums the time of all steps; a row counts for the steps since the row before.
double training_seconds(const MetricsTable& metrics) {
  double seconds = 0, before = 0;
  const std::vector<double> step_seconds = metrics.column("seconds_step");
  for (std::size_t i = 0; i < metrics.rows(); ++i) {
    if (!std::isfinite(step_seconds[i])) continue;  // a row of measurements
    seconds += step_seconds[i] * (metrics.steps()[i] - before);
    before = metrics.steps()[i];
  }
  return seconds;
}

Json metrics_json(const Objective& objective) {
  Json metrics = Json::array();
  for (const auto* columns : {&objective.metrics, &objective.measured}) {
    for (const Metric& metric : *columns) {
      metrics.push_back({{"column", metric.name},
                         {"title", metric.title},
                         {"unit", metric.unit},
                         {"tile", !metric.brief.empty()}});
    }
  }
  return metrics;
}

Json levels_json(const Objective& objective) {
  if (!objective.levels) return Json::array();
  return {{{"column", objective.metrics.front().name},
           {"value", objective.levels->guessing},
           {"name", "chance, " + objective.levels->guessing_text}}};
}

/// Returns the same evaluation of the untrained encoder (step 0); null when there is none.
const Evaluation* untrained(const RunData& run, const Evaluation& of) {
  const auto found = std::ranges::find_if(run.evaluations, [&](const Evaluation& e) {
    return e.step == 0 && of.step > 0 && e.protocol == of.protocol && e.test_data == of.test_data;
  });
  return found == run.evaluations.end() ? nullptr : &*found;
}

Json evaluations_json(const RunData& run) {
  Json evaluations = Json::array();
  for (const Evaluation& e : run.evaluations) {
    const Evaluation* before = untrained(run, e);
    evaluations.push_back({{"name", e.name},
                           {"protocol", e.protocol},
                           {"top1", e.top1},
                           {"untrained_top1", before != nullptr ? Json(before->top1) : Json()},
                           {"top5", e.top5},
                           {"samples", e.samples},
                           {"test_data", e.test_data},
                           {"checkpoint", e.checkpoint}});
    if (e.per_class.empty()) continue;
    Json& per_class = evaluations.back()["per_class"] = Json::array();
    for (const auto& value : e.per_class) per_class.push_back(value ? Json(*value) : Json());
    evaluations.back()["class_names"] = e.class_names;
  }
  return evaluations;
}

Json qualities_json(const RunData& run) {
  Json qualities = Json::array();
  for (const QualityResult& q : run.qualities) {
    Json json{{"name", q.name}};
    for (const auto& [name, value] : q.measures) json[name] = value;  // NaN is written as null
    json.update({{"samples", q.samples}, {"data", q.data}, {"checkpoint", q.checkpoint}});
    qualities.push_back(std::move(json));
  }
  return qualities;
}

/// The number of epochs to do; "" if the length of the run is given in steps.
std::string planned_epochs(const RunData& run) {
  return option(run, "schedule-steps").empty() ? option(run, "epochs") : "";
}

/// The value of an option that few runs set; empty where it is the usual one.
std::string unusual(const RunData& run, std::string_view name, std::string_view usual) {
  const std::string value = option(run, name);
  return value == usual ? "" : value;
}

Facts configuration(const RunData& run) {
  Facts facts;
  for (const auto& [title, name] : std::initializer_list<std::pair<const char*, std::string_view>>{
           {"Data", "data"},
           {"Image size", "image-size"},
           {"Encoder", "encoder"},
           {"Width", "width"},
           {"Batch size", "batch-size"},
           {"Epochs", "epochs"},
           {"Steps", "schedule-steps"},
           {"Loss", "loss"},
           {"Temperature", "temperature"},
           {"Augmentation", "augment"},
           {"Optimizer", "optimizer"},
           {"Learning rate", "learning-rate"},
           {"Scaled by", "lr-scaling"},
           {"Precision", "precision"}}) {
    facts.emplace_back(title, name == "epochs" ? planned_epochs(run) : option(run, name));
    if (name == "width") {
      facts.emplace_back("Selective kernels", unusual(run, "sk-ratio", "0"));
    }
    if (name == "temperature") {
      facts.emplace_back("Negatives", option(run, "negatives"));
      facts.emplace_back("Semi-hard", option(run, "semi-hard"));
      facts.emplace_back("Margin", option(run, "margin"));
      facts.emplace_back("Weight of negatives", option(run, "negative-weight"));
      facts.emplace_back("Normalized", unusual(run, "normalize", "on"));
    }
    if (name != "augment") continue;
    facts.emplace_back("Second view", unusual(run, "augment-second", "same"));
    facts.emplace_back("Base crop", unusual(run, "base-crop", "off"));
    facts.emplace_back("Parameters", unusual(run, "augment-params", ""));
    facts.emplace_back("Semantics", unusual(run, "augment-semantics", "torchvision"));
  }
  return facts;
}

Json facts_json(const Facts& facts) {
  Json json = Json::array();
  for (const auto& [name, value] : facts) {
    if (!value.empty()) json.push_back(Json::array({name, value}));
  }
  return json;
}

}  // namespace

Json run_json(const RunData& run) {
  const RunStateText& state = run.state;
  Json json{{"name", run.name},
            {"state",
             {{"status", state.status},
              {"reason", state.reason},
              {"step", state.step},
              {"restarts", state.restarts}}},
            {"seconds", training_seconds(run.metrics)},
            {"epochs", planned_epochs(run)}};
  add_curves(json, run.metrics);
  json["restarts"] = restarts_json(run.metrics);
  const Objective objective = run.config->objective();
  json["metrics"] = metrics_json(objective);
  json["levels"] = levels_json(objective);
  json["evaluations"] = evaluations_json(run);
  json["qualities"] = qualities_json(run);
  json["configuration"] = facts_json(configuration(run));
  json["options"] = facts_json(run.options);
  json["environment"] = facts_json(run.environment);
  json["unreadable"] = run.unreadable;
  return json;
}

std::string fill_page(const nlohmann::ordered_json& data) {
  constexpr std::string_view kPlace = ">DATA<";
  const std::string_view page = page_template();
  const std::size_t place = page.find(kPlace);
  require(place != std::string_view::npos, "report.html must have an element DATA");
  const std::size_t begin = place + 1, end = place + kPlace.size() - 1;
  std::string filled(page.substr(0, begin));
  for (const char c : data.dump(-1, ' ', false, Json::error_handler_t::replace)) {
    if (c == '<') {  // occurs only within strings
      filled += "\\u003c";
    } else {
      filled += c;
    }
  }
  return filled.append(page.substr(end));
}

std::string base64(std::span<const std::byte> bytes) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t b = 0; b < 3; ++b) {
      group = group << 8U | (b < count ? std::to_integer<std::uint32_t>(bytes[i + b]) : 0U);
    }
    for (std::size_t d = 0; d < 4; ++d) {
      text += d <= count ? kDigits[group >> (18 - 6 * d) & 63U] : '=';
    }
  }
  return text;
}

}  // namespace simclr
