#include "simclr/report/report.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <optional>

#include "curves.hpp"
#include "html.hpp"
#include "page_style.hpp"
#include "run_data.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "simclr/io/atomic_file.hpp"
#include "simclr/io/png_writer.hpp"
#include "simclr/report/augmented_pairs.hpp"

namespace simclr {
namespace fs = std::filesystem;
namespace {

/// Samples that the page shows: fewer where each takes more bytes.
constexpr std::int64_t kLargeImage = 112;
constexpr std::int64_t kLargePairs = 6, kSmallPairs = 12;

std::string percent(double fraction) { return fmt::format("{:.2f} %", 100 * fraction); }

std::string duration_text(double seconds) {
  if (seconds < 120) return fmt::format("{:.1f} s", seconds);
  if (seconds < 7200) return fmt::format("{:.1f} min", seconds / 60);
  return fmt::format("{:.1f} h", seconds / 3600);
}

std::string option(const RunData& run, std::string_view name) {
  const auto found = std::ranges::find(run.options, name, &Facts::value_type::first);
  require(found != run.options.end(), "pretrain has an option " + std::string(name));
  return found->second;
}

std::string header(const RunData& run) {
  std::string html = fmt::format("<header><h1>{}</h1>", escape(run.name));
  const RunStateText& state = run.state;
  if (!state.status.empty()) {
    html += fmt::format("<span class=\"status {0}\">{0}</span>", escape(state.status));
    std::string text = fmt::format("Step {}", state.step);
    if (!state.reason.empty()) text += ": " + state.reason;
    if (state.restarts > 0) text += fmt::format("; restarts: {}", state.restarts);
    html += fmt::format("<p>{}</p>", escape(text));
  }
  return html + "</header>\n";
}

/// The last row's values, and the time that all rows stand for.
std::string tiles(const RunData& run) {
  std::string html = "<div class=\"tiles\">\n";
  const auto tile = [&](const std::string& value, const std::string& name) {
    html += fmt::format("<div><b>{}</b><span>{}</span></div>\n", escape(value), escape(name));
  };
  const MetricsTable& metrics = run.metrics;
  const auto last = [&](const char* name) { return metrics.column(name).back(); };
  tile(fmt::format("{:.4g}", last("loss")), "loss");
  tile(percent(last("contrastive_top1")), "contrastive top-1");
  tile(fmt::format("{:.3g}", last("epoch")), "epochs done of " + option(run, "epochs"));
  double seconds = 0, before = 0;
  const std::vector<double> step_seconds = metrics.column("seconds_step");
  for (std::size_t i = 0; i < metrics.rows(); ++i) {
    if (std::isfinite(step_seconds[i])) seconds += step_seconds[i] * (metrics.steps()[i] - before);
    before = metrics.steps()[i];
  }
  tile(duration_text(seconds), "training time");
  const auto best = std::ranges::max_element(run.evaluations, {}, &Evaluation::top1);
  if (best != run.evaluations.end()) tile(percent(best->top1), "best top-1: " + best->protocol);
  return html + "</div>\n";
}

const Evaluation* untrained(const RunData& run, const Evaluation& of) {
  const auto found = std::ranges::find_if(run.evaluations, [&](const Evaluation& e) {
    return e.step == 0 && of.step > 0 && e.protocol == of.protocol && e.test_data == of.test_data;
  });
  return found == run.evaluations.end() ? nullptr : &*found;
}

std::string evaluations(const RunData& run) {
  if (run.evaluations.empty()) {
    return html_note("None yet: simclr linear-eval and simclr knn add theirs.");
  }
  HtmlTable table{{"Protocol", "Top-1", "Untrained top-1", "Top-5", "Test images", "Test data",
                   "Checkpoint", "Result"},
                  {},
                  1,
                  5};
  for (const Evaluation& e : run.evaluations) {
    const Evaluation* beside = untrained(run, e);
    table.rows.push_back({e.protocol, percent(e.top1),
                          beside != nullptr ? percent(beside->top1) : "\u2013", percent(e.top5),
                          std::to_string(e.samples), e.test_data, e.checkpoint, e.name});
  }
  return fmt::format("<div class=\"card\">{}</div>\n", html_table(table));
}

std::string pairs_picture(const RunData& run, Pairs pairs) {
  if (pairs == Pairs::leave_out) {
    return html_note("Left out, since the run did not end well; simclr report adds them.");
  }
  const bool large = run.config.image_size > kLargeImage;
  try {
    const Image image = augmented_pairs(run.config, large ? kLargePairs : kSmallPairs);
    return fmt::format("<div class=\"card\">{}</div>\n",
                       html_picture({encode_png(image), image.width, image.height},
                                    "Groups of a stored image and the two views that training "
                                    "makes of it in the first epoch"));
  } catch (const std::exception& error) {
    return html_note(std::string("Left out, since the data set cannot be read: ") + error.what());
  }
}

std::string configuration(const RunData& run) {
  Facts facts;
  for (const auto& [title, name] : std::initializer_list<std::pair<const char*, const char*>>{
           {"Data", "data"},
           {"Image size", "image-size"},
           {"Encoder", "encoder"},
           {"Width", "width"},
           {"Batch size", "batch-size"},
           {"Epochs", "epochs"},
           {"Temperature", "temperature"},
           {"Augmentation", "augment"},
           {"Optimizer", "optimizer"},
           {"Learning rate", "learning-rate"},
           {"Scaled by", "lr-scaling"},
           {"Precision", "precision"}}) {
    facts.emplace_back(title, option(run, name));
  }
  return fmt::format("<div class=\"card\">{}{}</div>\n", html_facts(facts),
                     html_details("All options", html_facts(run.options)));
}

std::string page(const RunData& run, Pairs pairs) {
  const bool trained = run.metrics.rows() > 0;
  std::string html = header(run);
  if (trained) html += tiles(run);
  html += html_section("curves", "Curves",
                       trained ? draw_curves(run) : html_note("No step has been logged yet."));
  html += html_section("evaluation", "Evaluation", evaluations(run));
  html += html_section("pairs", "Augmented pairs", pairs_picture(run, pairs));
  html += html_section("configuration", "Configuration", configuration(run));
  html += html_section("environment", "Environment",
                       run.environment.empty() ? html_note("Not recorded.")
                                               : fmt::format("<div class=\"card\">{}</div>\n",
                                                             html_facts(run.environment)));
  for (const std::string& file : run.unreadable) {
    html += html_note(file + " is there but cannot be read; it is left out.");
  }
  const std::time_t now = std::time(nullptr);
  return html_page(
      run.name, page_style(),
      html + fmt::format("<footer>Written by simclr at {:%Y-%m-%d %H:%M} UTC</footer>\n",
                         fmt::gmtime(now)));
}

}  // namespace

void write_report(const fs::path& run_dir, const fs::path& output, Pairs pairs) {
  const RunData run = read_run(run_dir);
  write_file(output, page(run, pairs));
}

void refresh_report(const fs::path& run_dir, Pairs pairs) {
  try {
    if (is_run_directory(run_dir)) write_report(run_dir, run_dir / "report.html", pairs);
  } catch (const std::exception& error) {
    log::warning("no report.html: {}", error.what());
  }
}

void refresh_report_of_checkpoint(const fs::path& checkpoint) {
  const fs::path directory = fs::absolute(checkpoint).parent_path();
  if (directory.filename() == "checkpoints") {
    refresh_report(directory.parent_path(), Pairs::render);
  }
}

}  // namespace simclr
