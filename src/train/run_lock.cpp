#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "run_directory.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "simclr/train/system_info.hpp"

namespace simclr {
namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
namespace {

std::string content_of(const fs::path& file) {
  std::ifstream in(file);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

/// Start time of a process in clock ticks since boot, which distinguishes it from a later process
/// with the same number. Empty if it does not run.
std::string process_start(pid_t pid) {
  const std::string stat = content_of(fmt::format("/proc/{}/stat", pid));
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return "";
  std::istringstream fields(stat.substr(name_end + 1));
  std::string field;
  fields >> field;
  if (field == "Z" || field == "X") return "";  // dead, but not yet reaped by its parent
  constexpr int kFromStateToStartTime = 19;     // fields 3 and 22 of proc(5)
  for (int i = 0; i < kFromStateToStartTime; ++i) fields >> field;
  return field;
}

std::string own_content() {
  return Json{{"host", host_name()},
              {"pid", ::getpid()},
              {"process_start", process_start(::getpid())},
              {"job", job_id()},
              {"job_restart", job_restart()}}
      .dump();
}

struct Holder {
  std::string host = "unknown", job, start;
  pid_t pid = 0;
  std::int64_t restart = 0;  // how often the job was requeued

  [[nodiscard]] std::string text() const {
    return fmt::format("process {} on {}{}", pid, host, job.empty() ? "" : ", job " + job);
  }
  [[nodiscard]] bool is_gone() const {
    if (host == host_name()) return process_start(pid) != start;
    return !job.empty() && job == job_id() && restart < job_restart();
  }
};

Holder parse_holder(const std::string& content, const fs::path& file) {
  try {
    const Json json = Json::parse(content);
    return {json.at("host"), json.at("job"), json.at("process_start"), json.at("pid"),
            json.value("job_restart", std::int64_t{0})};
  } catch (const nlohmann::json::exception&) {
    refuse("{}: cannot be read as a lock; delete it if no job uses this run directory",
           file.string());
  }
}

void require_gone(const Holder& holder, const fs::path& run_directory, const fs::path& file) {
  if (holder.is_gone()) return;
  refuse("run directory {} is in use by {}; wait until it ends, or delete {} if it no longer runs",
         run_directory.string(), holder.text(), file.string());
}

/// Creates the file together with its content; returns false if it exists.
bool create_with_content(const fs::path& file, const std::string& content) {
  const fs::path own = fmt::format("{}.{}", file.string(), ::getpid());
  std::ofstream(own) << content;
  const bool linked = ::link(own.c_str(), file.c_str()) == 0;
  const int error = errno;
  ::unlink(own.c_str());
  if (!linked && error != EEXIST) {
    fail_for(Cause::io, "cannot create {}: {}", file.string(), std::strerror(error));
  }
  return linked;
}

/// Removes a stale lock unless another process has replaced it in the meantime.
void remove_stale(const fs::path& file, const std::string& stale) {
  const fs::path aside = fmt::format("{}.stale-{}", file.string(), ::getpid());
  if (::rename(file.c_str(), aside.c_str()) != 0) return;  // another process was faster
  if (content_of(aside) != stale) ::link(aside.c_str(), file.c_str());
  ::unlink(aside.c_str());
}

}  // namespace

RunLock::RunLock(const fs::path& run_directory)
    : file_(run_directory / "lock"), content_(own_content()) {
  while (!create_with_content(file_, content_)) {
    const std::string found = content_of(file_);
    if (found.empty() && !fs::exists(file_)) continue;  // released just now
    const Holder holder = parse_holder(found, file_);
    require_gone(holder, run_directory, file_);
    log::warning("run directory {}: taking over the lock of {}, which no longer runs",
                 run_directory.string(), holder.text());
    remove_stale(file_, found);
  }
}

void require_unlocked(const fs::path& run_directory) {
  const fs::path file = run_directory / "lock";
  const std::string found = content_of(file);
  if (found.empty() && !fs::exists(file)) return;
  require_gone(parse_holder(found, file), run_directory, file);
}

RunLock::~RunLock() {
  if (content_of(file_) == content_) ::unlink(file_.c_str());
}

}  // namespace simclr
