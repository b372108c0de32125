#include "records.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "simclr/io/atomic_file.hpp"

namespace simclr {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;

/// Whether a crash may have left this last line: the beginning of a row, or zeros that the file
/// system has not replaced.
bool may_be_cut_short(const std::string& line) {
  constexpr std::string_view kBeginning = R"({"step":)";
  const auto count = std::min(line.size(), kBeginning.size());
  return line.compare(0, count, kBeginning, 0, count) == 0 ||
         line.find_first_not_of('\0') == std::string::npos;
}

/// Calls take(line, row, where) for each row up to `last_step`. Leaves out a last row that a crash
/// has cut short. Refuses any other line that is no row, since all rows after it would be lost.
template <class Take>
void for_rows_up_to(const fs::path& file, std::int64_t last_step, const Take& take) {
  if (!fs::exists(file)) return;
  std::istringstream in(read_text_file(file));
  std::int64_t number = 0;
  for (std::string line; std::getline(in, line);) {
    const Json row = Json::parse(line, nullptr, false);
    const std::string where = fmt::format("{}: line {}", file.string(), ++number);
    const bool is_last = in.peek() == std::istringstream::traits_type::eof();
    if (row.is_discarded() && is_last && may_be_cut_short(line)) break;
    if (!row.is_object() || !row.contains("step") || !row.at("step").is_number_integer()) {
      refuse("{}: is not a row with a step; delete the file, or the line, to go on", where);
    }
    if (row.at("step") > last_step) break;
    take(line, row, where);
  }
}

std::string duration_text(double seconds) {
  const auto s = static_cast<std::int64_t>(std::max(seconds, 0.0));
  if (s >= 3600) return fmt::format("{}h{:02}m", s / 3600, s / 60 % 60);
  return fmt::format("{}m{:02}s", s / 60, s % 60);
}

}  // namespace

std::vector<std::pair<std::int64_t, double>> logged_values(const fs::path& file,
                                                           const std::string& column,
                                                           std::int64_t last_step) {
  std::vector<std::pair<std::int64_t, double>> values;
  const auto take = [&](const std::string&, const Json& row, const std::string& where) {
    if (!row.contains(column)) return;
    const Json& value = row.at(column);
    if (!value.is_number()) {
      refuse("{}: its '{}' is a {}, not a number; delete the line to go on", where, column,
             value.type_name());
    }
    values.emplace_back(row.at("step"), value);
  };
  for_rows_up_to(file, last_step, take);
  return values;
}

Progress::Progress(const std::vector<Metric>& metrics, const Span& span)
    : metrics_(metrics), span_(span), terminal_(log::output_is_watched()) {}

/// "loss 5.5123 top-1 1.2 % "
std::string Progress::metrics_text(const std::vector<double>& values) const {
  std::string text;
  for (std::size_t i = 0; i < metrics_.size(); ++i) {
    if (metrics_[i].brief.empty() || std::isnan(values[i])) continue;
    text += metrics_[i].unit == "%"
                ? fmt::format("{} {:.1f} % ", metrics_[i].brief, 100 * values[i])
                : fmt::format("{} {:.4f} ", metrics_[i].brief, values[i]);
  }
  return text;
}

void Progress::show(const StepResult& result, double images_per_second, bool logged) {
  using Clock = std::chrono::steady_clock;
  const auto now = Clock::now();
  const bool due = terminal_ ? now - last_shown_ > std::chrono::milliseconds(200) : logged;
  if (!due) return;
  last_shown_ = now;
  const std::int64_t step = result.step + 1;
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  const double per_step =
      elapsed / static_cast<double>(std::max<std::int64_t>(1, step - span_.first));
  const double left = per_step * static_cast<double>(span_.end - step);
  const std::string line = fmt::format(
      "epoch {:.2f} step {}/{} {}lr {:.4g} {:.1f} images/s {} left",
      static_cast<double>(step) / static_cast<double>(span_.steps_per_epoch), step, span_.end,
      metrics_text(result.metrics), result.learning_rate, images_per_second, duration_text(left));
  return terminal_ ? log::write_live(line) : log::write_info(line);
}

Records::Records(const TrainingConfig& config, const std::vector<Metric>& metrics, const Span& span,
                 const StateFile& state, bool is_root)
    : config_(config), metrics_(metrics), span_(span), state_(state) {
  if (!is_root) return;
  const fs::path file = config.run_dir / "metrics.jsonl";
  std::string kept;
  for_rows_up_to(file, span.first, [&](const std::string& line, const Json&, const std::string&) {
    kept += line + "\n";
  });
  state_.fence().require_held();
  write_file(file, kept);
  file_.emplace(file);
  progress_.emplace(metrics, span);
}

void Records::add_data_cost(double stall_seconds, const ReadStatistics& reading) {
  since_row_.stall_seconds += stall_seconds;
  since_row_.reading.seconds += reading.seconds;
  since_row_.reading.bytes_read += reading.bytes_read;
  since_row_.reading.bytes_fetched += reading.bytes_fetched;
}

void Records::add(const StepResult& result) {
  const std::int64_t step = result.step + 1;
  ++since_row_.steps;
  if (result.phases) {
    since_row_.phases.forward += result.phases->forward;
    since_row_.phases.backward += result.phases->backward;
    since_row_.phases.update += result.phases->update;
  }
  if (!file_) return;
  const bool logged = step % config_.log_every == 0 || step == span_.first + 1 || step == span_.end;
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - since_row_.start;
  const double seconds = passed.count() / static_cast<double>(since_row_.steps);
  if (logged) {
    state_.fence().require_held();
    file_->append(row(result, seconds));
  }
  progress_->show(result, static_cast<double>(config_.batch_size) / seconds, logged);
  if (logged) since_row_ = {};
}

void Records::add_measurements(std::int64_t step, const std::vector<Measurement>& measured,
                               double seconds) {
  using Clock = std::chrono::steady_clock;
  since_row_.start +=
      std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  if (!file_) return;
  const double epoch = static_cast<double>(step) / static_cast<double>(span_.steps_per_epoch);
  Json json{{"step", step}, {"epoch", epoch}, {"restarts", state_.restarts()}};
  std::string text;
  for (const Measurement& measurement : measured) {
    json[measurement.name] = measurement.value;
    text +=
        fmt::format("{}{} {:.4f}", text.empty() ? "" : ", ", measurement.name, measurement.value);
  }
  json["seconds_measuring"] = seconds;
  state_.fence().require_held();
  file_->append(json.dump() + "\n");
  log::info("epoch {:.0f}: {} (measured in {})", epoch, text, duration_text(seconds));
}

/// The row of a step, counted from 1: its metrics, and times that are means over the steps since
/// the row before. Bytes are sums over these steps and all ranks; `seconds_read` is the busy time
/// of rank 0's reading thread.
std::string Records::row(const StepResult& result, double seconds_step) const {
  const auto step = result.step + 1;
  const auto n = static_cast<double>(since_row_.steps);
  Json json{{"step", step},
            {"epoch", static_cast<double>(step) / static_cast<double>(span_.steps_per_epoch)},
            {"restarts", state_.restarts()}};
  for (std::size_t i = 0; i < metrics_.size(); ++i) {
    if (!std::isnan(result.metrics[i])) json[metrics_[i].name] = result.metrics[i];
  }
  json["learning_rate"] = result.learning_rate;
  json["images_per_second"] = static_cast<double>(config_.batch_size) / seconds_step;
  json["seconds_step"] = seconds_step;
  json["seconds_data"] = since_row_.stall_seconds / n;
  json["seconds_checkpoint"] = since_row_.checkpoint_seconds / n;
  json["seconds_read"] = since_row_.reading.seconds / n;
  json["bytes_read"] = since_row_.reading.bytes_read;
  json["bytes_fetched"] = since_row_.reading.bytes_fetched;
  if (result.phases) {
    json["seconds_forward"] = since_row_.phases.forward / n;
    json["seconds_backward"] = since_row_.phases.backward / n;
    json["seconds_update"] = since_row_.phases.update / n;
  }
  if (result.loss_scaling) {
    json["loss_scale"] = result.loss_scaling->scale;
    json["skipped_steps"] = result.loss_scaling->skipped_steps;
  }
  return json.dump() + "\n";
}

void Records::finish() {
  if (progress_) log::end_live();
}

}  // namespace simclr
