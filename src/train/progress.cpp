#include "progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "simclr/core/log.hpp"

namespace simclr {
namespace {

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

}  // namespace simclr
