#include "records.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "simclr/core/log.hpp"
#include "simclr/io/atomic_file.hpp"

namespace simclr {
namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
namespace {

/// Calls take(line, row) for each row up to `last_step`; stops at a row that a crash has cut short.
template <class Take>
void for_rows_up_to(const fs::path& file, std::int64_t last_step, const Take& take) {
  if (!fs::exists(file)) return;
  std::istringstream in(read_text_file(file));
  for (std::string line; std::getline(in, line);) {
    const Json row = Json::parse(line, nullptr, false);
    if (row.is_discarded() || row.value("step", last_step + 1) > last_step) break;
    take(line, row);
  }
}

std::string duration_text(double seconds) {
  const auto s = static_cast<std::int64_t>(std::max(seconds, 0.0));
  if (s >= 3600) return fmt::format("{}h{:02}m", s / 3600, s / 60 % 60);
  return fmt::format("{}m{:02}s", s / 60, s % 60);
}

/// Whether somebody watches the output on a terminal. mpirun gives every rank a pseudo-terminal, so
/// under it the output of mpirun itself decides.
bool output_is_on_terminal() {
  if (isatty(STDOUT_FILENO) == 0) return false;
  if (std::getenv("OMPI_COMM_WORLD_RANK") == nullptr) return true;
  std::error_code error;
  const auto launcher_output =
      std::filesystem::read_symlink(fmt::format("/proc/{}/fd/1", getppid()), error).string();
  return launcher_output.starts_with("/dev/pts/") || launcher_output.starts_with("/dev/tty");
}

}  // namespace

std::vector<std::pair<std::int64_t, double>> logged_values(const fs::path& file,
                                                           const std::string& column,
                                                           std::int64_t last_step) {
  std::vector<std::pair<std::int64_t, double>> values;
  for_rows_up_to(file, last_step, [&](const std::string&, const Json& row) {
    if (row.contains(column)) values.emplace_back(row.at("step"), row.at(column));
  });
  return values;
}

MetricsFile::MetricsFile(const fs::path& file, std::vector<Metric> metrics, std::int64_t last_step)
    : metrics_(std::move(metrics)) {
  std::string kept;
  for_rows_up_to(file, last_step,
                 [&](const std::string& line, const Json&) { kept += line + "\n"; });
  write_file(file, kept);
  file_.emplace(file);
}

void MetricsFile::append(const MetricsRow& row) {
  Json json{{"step", row.step}, {"epoch", row.epoch}, {"restarts", row.restarts}};
  for (std::size_t i = 0; i < metrics_.size(); ++i) json[metrics_[i].name] = row.metrics[i];
  json["learning_rate"] = row.learning_rate;
  json["images_per_second"] = row.images_per_second;
  json["seconds_step"] = row.seconds_step;
  json["seconds_data"] = row.seconds_data;
  json["seconds_checkpoint"] = row.seconds_checkpoint;
  json["seconds_read"] = row.seconds_read;
  json["bytes_read"] = row.bytes_read;
  json["bytes_fetched"] = row.bytes_fetched;
  if (row.phases) {
    json["seconds_forward"] = row.phases->forward;
    json["seconds_backward"] = row.phases->backward;
    json["seconds_update"] = row.phases->update;
  }
  if (row.loss_scaling) {
    json["loss_scale"] = row.loss_scaling->scale;
    json["skipped_steps"] = row.loss_scaling->skipped_steps;
  }
  file_->append(json.dump() + "\n");
}

Progress::Progress(const std::vector<Metric>& metrics, std::int64_t first_step,
                   std::int64_t end_step, std::int64_t steps_per_epoch)
    : metrics_(metrics),
      first_step_(first_step),
      end_step_(end_step),
      steps_per_epoch_(steps_per_epoch),
      terminal_(output_is_on_terminal()) {}

/// "loss 5.5123 top-1 1.2 % "
std::string Progress::metrics_text(const std::vector<double>& values) const {
  std::string text;
  for (std::size_t i = 0; i < metrics_.size(); ++i) {
    if (metrics_[i].brief.empty()) continue;
    text += metrics_[i].unit == "%"
                ? fmt::format("{} {:.1f} % ", metrics_[i].brief, 100 * values[i])
                : fmt::format("{} {:.4f} ", metrics_[i].brief, values[i]);
  }
  return text;
}

void Progress::show(const MetricsRow& row, bool logged) {
  using Clock = std::chrono::steady_clock;
  const auto now = Clock::now();
  const bool due = terminal_ ? now - last_shown_ > std::chrono::milliseconds(200) : logged;
  if (!due) return;
  last_shown_ = now;
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  const double per_step =
      elapsed / static_cast<double>(std::max<std::int64_t>(1, row.step - first_step_));
  const double left = per_step * static_cast<double>(end_step_ - row.step);
  const std::string line = fmt::format(
      "epoch {:.2f} step {}/{} {}lr {:.4g} {:.1f} images/s {} left",
      static_cast<double>(row.step) / static_cast<double>(steps_per_epoch_), row.step, end_step_,
      metrics_text(row.metrics), row.learning_rate, row.images_per_second, duration_text(left));
  if (!terminal_) return log::write_info(line);
  std::fputs(("\r" + line + "\x1b[K").c_str(), stdout);
  std::fflush(stdout);
  line_open_ = true;
}

void Progress::finish() {
  if (line_open_) std::fputs("\n", stdout);
  line_open_ = false;
}

Records::Records(const TrainingConfig& config, const std::vector<Metric>& metrics, const Span& span,
                 int restarts, bool is_root)
    : config_(config), span_(span), restarts_(restarts) {
  if (!is_root) return;
  metrics_.emplace(config.run_dir / "metrics.jsonl", metrics, span.first);
  progress_.emplace(metrics, span.first, span.end, span.steps_per_epoch);
}

void Records::add_data_cost(double stall_seconds, const ReadStatistics& reading) {
  sums_.seconds_data += stall_seconds;
  sums_.seconds_read += reading.seconds;
  sums_.bytes_read += reading.bytes_read;
  sums_.bytes_fetched += reading.bytes_fetched;
}

void Records::add(const StepResult& result) {
  const std::int64_t step = result.step + 1;
  ++steps_;
  if (result.phases) {
    phases_.forward += result.phases->forward;
    phases_.backward += result.phases->backward;
    phases_.update += result.phases->update;
  }
  const bool logged = step % config_.log_every == 0 || step == span_.first + 1 || step == span_.end;
  if (!metrics_) return;
  const MetricsRow row = mean_row(step, result);
  if (logged) metrics_->append(row);
  progress_->show(row, logged);
  if (logged) start_interval();
}

void Records::finish() {
  if (progress_) progress_->finish();
}

MetricsRow Records::mean_row(std::int64_t step, const StepResult& result) const {
  const auto n = static_cast<double>(steps_);
  const double seconds = std::chrono::duration<double>(Clock::now() - interval_start_).count() / n;
  MetricsRow row{.step = step,
                 .restarts = restarts_,
                 .epoch = static_cast<double>(step) / static_cast<double>(span_.steps_per_epoch),
                 .metrics = result.metrics,
                 .learning_rate = result.learning_rate,
                 .images_per_second = static_cast<double>(config_.batch_size) / seconds,
                 .seconds_step = seconds,
                 .seconds_data = sums_.seconds_data / n,
                 .seconds_checkpoint = sums_.seconds_checkpoint / n,
                 .seconds_read = sums_.seconds_read / n,
                 .bytes_read = sums_.bytes_read,
                 .bytes_fetched = sums_.bytes_fetched,
                 .loss_scaling = result.loss_scaling};
  if (result.phases) row.phases = {phases_.forward / n, phases_.backward / n, phases_.update / n};
  return row;
}

void Records::start_interval() {
  sums_ = {};
  phases_ = {};
  steps_ = 0;
  interval_start_ = Clock::now();
}

}  // namespace simclr
