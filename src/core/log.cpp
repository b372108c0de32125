#include "simclr/core/log.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <string>
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
      make_logger(std::make_shared<spdlog::sinks::stdout_sink_mt>(), "[%H:%M:%S] %v");
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

}  // namespace

void set_rank(int rank, int world_size) { identity() = {rank, world_size}; }

void write_info(std::string_view line) {
  if (identity().rank == 0) out().info("{}", printable(line));
}
void write_warning(std::string_view line) {
  err().info("simclr: warning: {}{}", rank_prefix(), printable(line));
}
void write_error(std::string_view line) {
  err().info("simclr: error: {}{}", rank_prefix(), printable(line));
}

}  // namespace simclr::log
