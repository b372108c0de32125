#include "simclr/core/log.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>

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

std::string host_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown-host";
}

spdlog::logger& out() {
  static const auto logger = [] {
    auto created =
        std::make_shared<spdlog::logger>("out", std::make_shared<spdlog::sinks::stdout_sink_mt>());
    created->set_pattern("[%H:%M:%S] %v");
    created->flush_on(spdlog::level::info);
    return created;
  }();
  return *logger;
}

spdlog::logger& err() {
  static const auto logger = [] {
    auto created =
        std::make_shared<spdlog::logger>("err", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    created->set_pattern("%v");
    created->flush_on(spdlog::level::info);
    return created;
  }();
  return *logger;
}

std::string rank_prefix() {
  if (identity().world_size == 1) return "";
  return fmt::format("rank {} on {}: ", identity().rank, host_name());
}

}  // namespace

void set_rank(int rank, int world_size) { identity() = {rank, world_size}; }

void write_info(std::string_view line) {
  if (identity().rank == 0) out().info("{}", line);
}
void write_warning(std::string_view line) {
  err().info("simclr: warning: {}{}", rank_prefix(), line);
}
void write_error(std::string_view line) { err().info("simclr: error: {}{}", rank_prefix(), line); }

}  // namespace simclr::log
