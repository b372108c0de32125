#include "simclr/core/log.hpp"

#include <fcntl.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <utility>

#include "simclr/core/foreign_text.hpp"
#include "simclr/core/system.hpp"

namespace simclr::log {
namespace {

struct Identity {
  int rank = 0;
  int world_size = 1;
};
Identity& identity() {
  static Identity instance;
  return instance;
}

spdlog::logger make_logger(spdlog::sink_ptr sink, const char* pattern) {
  spdlog::logger logger("", std::move(sink));
  logger.set_pattern(pattern);
  logger.flush_on(spdlog::level::info);
  return logger;
}

spdlog::logger& out() {
  static spdlog::logger logger =
      make_logger(std::make_shared<spdlog::sinks::stdout_sink_mt>(), "[%Y-%m-%dT%H:%M:%S%z] %v");
  return logger;
}

spdlog::logger& err() {
  static spdlog::logger logger =
      make_logger(std::make_shared<spdlog::sinks::stderr_sink_mt>(), "%v");
  return logger;
}

std::string rank_prefix() {
  if (identity().world_size == 1) return "";
  return fmt::format("rank {} on {}: ", identity().rank, host_name());
}

/// The live line: whether one is shown. The cursor then stands at its beginning.
struct Live {
  std::mutex mutex;
  bool shown = false;
};
Live& live() {
  static Live instance;
  return instance;
}

void print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

/// A line for people; of a line that nobody would read, the beginning and the end.
std::string shown(std::string_view line) {
  constexpr std::size_t kEnd = 8192;
  if (line.size() <= 3 * kEnd) return printable(line);
  return fmt::format("{} [... {} bytes ...] {}", printable(line.substr(0, kEnd)),
                     line.size() - 2 * kEnd, printable(line.substr(line.size() - kEnd)));
}

/// Where the output of this process, or of the mpirun that started it, goes.
std::filesystem::path output_file() {
  const bool launched = std::getenv("OMPI_COMM_WORLD_RANK") != nullptr;
  return fmt::format("/proc/{}/fd/1", launched ? ::getppid() : ::getpid());
}

/// The width of the terminal on which somebody watches.
std::size_t terminal_columns() {
  constexpr std::size_t kUsualColumns = 80;
  const Descriptor terminal(::open(output_file().c_str(), O_WRONLY | O_NOCTTY | O_CLOEXEC));
  winsize size{};
  const bool known = terminal && ::ioctl(terminal.get(), TIOCGWINSZ, &size) == 0;
  return known && size.ws_col > 0 ? size.ws_col : kUsualColumns;
}

enum class LiveLine : std::uint8_t { erased, kept };

/// Makes room for a log line.
void leave_live(LiveLine line) {
  if (!live().shown) return;
  print(line == LiveLine::kept ? "\n" : "\x1b[K");
  live().shown = false;
}

}  // namespace

void set_rank(int rank, int world_size) { identity() = {rank, world_size}; }

void write_info(std::string_view line) {
  if (identity().rank != 0) return;
  const std::lock_guard lock(live().mutex);
  leave_live(LiveLine::erased);
  out().info("{}", printable(line));
}
void write_warning(std::string_view line) {
  const std::lock_guard lock(live().mutex);
  leave_live(LiveLine::erased);
  err().info("simclr: warning: {}{}", rank_prefix(), shown(line));
}
void write_error(std::string_view line) {
  const std::lock_guard lock(live().mutex);
  leave_live(LiveLine::kept);
  err().info("simclr: error: {}{}", rank_prefix(), shown(line));
}

bool output_is_watched() {
  if (::isatty(STDOUT_FILENO) == 0) return false;
  std::error_code unknown;
  const std::string output = std::filesystem::read_symlink(output_file(), unknown).string();
  return output.starts_with("/dev/pts/") || output.starts_with("/dev/tty") ||
         output == "/dev/console";
}

void write_live(std::string_view line) {
  const std::lock_guard lock(live().mutex);
  // The last column stays empty: some terminals go to the next line after it.
  print(fmt::format("{}\x1b[K\r", line.substr(0, terminal_columns() - 1)));
  live().shown = true;
}

void end_live() {
  const std::lock_guard lock(live().mutex);
  leave_live(LiveLine::kept);
}

}  // namespace simclr::log
