#include "run_lock.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "simclr/core/check.hpp"
#include "simclr/core/json_text.hpp"
#include "simclr/core/log.hpp"
#include "simclr/io/atomic_file.hpp"
#include "simclr/io/file.hpp"
#include "simclr/io/retry.hpp"
#include "simclr/train/system_info.hpp"

namespace simclr {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kName = "lock";
constexpr double kStaleSeconds = 300;
/// Two processes that find the same stale lock replace it within this time.
constexpr std::chrono::milliseconds kSettle{300};
/// The time between creating a lock and writing its content, on a slow file server.
constexpr std::chrono::seconds kUnwritten{3};
constexpr int kMaxTries = 100;
constexpr pid_t kMostProcesses = 1 << 22;  // the kernel's PID_MAX_LIMIT

std::string first_line_of(const fs::path& file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return line;
}

std::string link_target(const fs::path& link) {
  std::error_code unknown;
  return fs::read_symlink(link, unknown).string();
}

/// Field 22 of /proc/PROCESS/stat: its start in clock ticks since boot, which distinguishes it from
/// a later process with the same number. Empty if it is dead or cannot be seen.
std::string process_start(const std::string& process) {
  const std::string stat = first_line_of("/proc/" + process + "/stat");
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

/// Whether a process of this boot and namespace has ended. /proc may hide the processes of other
/// users (hidepid) or show another namespace, or may have been missing where the lock was made,
/// which then has no `start`; then a process that can be signaled counts as alive.
bool has_ended(pid_t process, const std::string& start) {
  if (::kill(process, 0) != 0 && errno == ESRCH) return true;
  const std::string number = std::to_string(process);
  const bool shows_this_namespace = link_target("/proc/self") == std::to_string(::getpid());
  std::error_code hidden;
  if (!shows_this_namespace || !fs::exists("/proc/" + number + "/stat", hidden)) return false;
  return !start.empty() && process_start(number) != start;
}

/// Who holds a lock. Locks of earlier versions lack cluster, boot and namespace, and have no
/// heartbeat.
struct Holder {
  std::string host, job, cluster, boot, pid_namespace, start;
  pid_t process = 0;
  std::int64_t restart = 0;  // how often the job was requeued

  static Holder self() {
    return {.host = host_name(),
            .job = job_id(),
            .cluster = cluster_name(),
            .boot = first_line_of("/proc/sys/kernel/random/boot_id"),
            .pid_namespace = link_target("/proc/self/ns/pid"),
            .start = process_start("self"),
            .process = ::getpid(),
            .restart = job_restart()};
  }
  static std::optional<Holder> parse(const std::string& content) {
    try {
      const Json json = Json::parse(content);
      const Json& process = json.at("pid");
      if (!process.is_number_integer() || process < 1 || process > kMostProcesses) return {};
      return Holder{.host = json.at("host"),
                    .job = json.at("job"),
                    .cluster = json.value("cluster", ""),
                    .boot = json.value("boot", ""),
                    .pid_namespace = json.value("pid_namespace", ""),
                    .start = json.at("process_start"),
                    .process = process,
                    .restart = json.value("job_restart", std::int64_t{0})};
    } catch (const nlohmann::json::exception&) {
      return {};
    }
  }

  [[nodiscard]] std::string content() const {
    return json_text(Json{{"host", host},
                          {"pid", process},
                          {"process_start", start},
                          {"job", job},
                          {"job_restart", restart},
                          {"cluster", cluster},
                          {"boot", boot},
                          {"pid_namespace", pid_namespace}});
  }
  [[nodiscard]] std::string text() const {
    const std::string on_cluster = cluster.empty() ? "" : " of cluster " + cluster;
    const std::string in_job =
        job.empty() ? "" : fmt::format(", job {}{} (restart {})", job, on_cluster, restart);
    return fmt::format("process {} on {}{}", process, host, in_job);
  }
  [[nodiscard]] bool beats() const { return !boot.empty(); }
  /// Whether this process can see the holder's: same boot, same namespace.
  [[nodiscard]] bool visible() const {
    const Holder own = self();
    return beats() ? boot == own.boot && pid_namespace == own.pid_namespace : host == own.host;
  }
  /// Why this holder can no longer write; empty if it may still run.
  [[nodiscard]] std::string why_gone() const {
    if (visible() && has_ended(process, start)) return "which no longer runs";
    const Holder own = self();
    const bool same_job = !job.empty() && job == own.job && (!beats() || cluster == own.cluster) &&
                          restart < own.restart;
    return same_job ? "an earlier start of this job" : "";
  }
};

/// A lock that was found.
struct Found {
  std::string content;
  double modified_seconds = 0;  // time of its last heartbeat, since 1970

  bool operator==(const Found&) const = default;
};

double seconds_of(const timespec& time) {
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

[[noreturn]] void refuse_kind(const fs::path& file, const char* kind) {
  refuse("{}: is {}; a lock is a plain file: delete it if no job uses this run directory",
         file.string(), kind);
}

/// Reads a lock without following or waiting for anything; empty if there is none.
std::optional<Found> find_lock(const fs::path& file) {
  return with_retries(file, [&](int) -> std::optional<Found> {
    const Descriptor lock(
        ::open(file.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (!lock && errno == ENOENT) return {};
    if (!lock && errno == ELOOP) refuse_kind(file, "a symbolic link");
    if (!lock && errno == ENXIO) refuse_kind(file, "a socket or device");
    if (!lock && (errno == EACCES || errno == EPERM)) refuse_kind(file, "not readable for you");
    if (!lock) fail_io("open", file, errno);
    struct stat status {};
    if (::fstat(lock.get(), &status) != 0) fail_io("read", file, errno);
    if (!S_ISREG(status.st_mode)) refuse_kind(file, "no plain file");
    std::array<char, 4096> text{};
    const ssize_t got = ::read(lock.get(), text.data(), text.size());
    if (got < 0) fail_io("read", file, errno);
    return Found{{text.data(), static_cast<std::size_t>(got)}, seconds_of(status.st_mtim)};
  });
}

double system_time() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return seconds_of(now);
}

/// The present time by the clock that gives files their times: on a network, the file server's.
double file_time(const fs::path& file) {
  struct stat status {};
  try {
    const TemporaryFile probe(file);
    if (::stat(probe.path().c_str(), &status) == 0) return seconds_of(status.st_mtim);
  } catch (const IoError&) {  // a full disk, which replacing the lock will report
  }
  return system_time();
}

/// Why a lock is stale. Silence is judged by a clock; nodes may disagree about the time.
struct Stale {
  std::string why;
  bool silent = false;
};

/// Returns why a lock is stale; refuses the run directory if it is not.
Stale require_stale(const Found& found, double now, const fs::path& run_directory) {
  const fs::path file = run_directory / kName;
  const double silent = now - found.modified_seconds;
  const auto holder = Holder::parse(found.content);
  if (!holder && !found.content.empty()) {
    refuse("{}: cannot be read as a lock; delete it if no job uses this run directory",
           file.string());
  }
  if (!holder) {
    if (silent > kStaleSeconds) {
      return {"an empty lock: the process that created it has crashed"};
    }
    refuse(
        "{}: is in use: its lock {} is empty: another process starts there at this moment, or has "
        "crashed; try again, in {:.0f} s the lock counts as stale",
        run_directory.string(), file.string(), kStaleSeconds - silent);
  }
  const std::string gone = holder->why_gone();
  if (!gone.empty()) return {fmt::format("the lock of {}, {}", holder->text(), gone)};
  // A process that is visible and silent is suspended; it may continue at any time.
  const bool judged_by_time = holder->beats() && !holder->visible();
  const bool in_future = silent < 0;
  if (judged_by_time && std::abs(silent) > kStaleSeconds) {
    return {fmt::format("the lock of {}, {}", holder->text(),
                        in_future ? "whose last heartbeat has a time in the future"
                                  : fmt::format("without a heartbeat for {:.0f} s", silent)),
            true};
  }
  const std::string heard =
      judged_by_time
          ? fmt::format(" (last heartbeat {:.0f} s ago; after {:.0f} s the lock is free)",
                        std::max(0.0, silent), kStaleSeconds)
          : "";
  refuse("{}: is in use by {}{}; wait until it ends, or delete {} if it no longer runs",
         run_directory.string(), holder->text(), heard, file.string());
}

/// Waits longer than a heartbeat, and refuses the run directory if the lock changes in that time.
void require_silence(const fs::path& file, const Found& before, std::chrono::milliseconds beat) {
  const auto pause = beat + beat / 5;
  log::info("{} seems to be stale; waiting for a heartbeat for {} s", file.string(),
            std::chrono::ceil<std::chrono::seconds>(pause).count());
  std::this_thread::sleep_for(pause);
  if (find_lock(file) == before) return;
  refuse(
      "{}: is in use: {} has had a heartbeat at this moment, although its time seems wrong; the "
      "clocks of the nodes differ",
      file.parent_path().string(), file.string());
}

/// Writes a lock's content to the disk. Returns 0 or errno.
int write_content(const Descriptor& lock, const std::string& content) {
  const ssize_t written = ::write(lock.get(), content.data(), content.size());
  if (written < 0) return errno;
  if (static_cast<std::size_t>(written) != content.size()) return ENOSPC;
  return ::fsync(lock.get()) == 0 ? 0 : errno;
}

}  // namespace

void RunFence::require_held() const {
  if (run_directory_.empty()) return;
  const fs::path file = run_directory_ / kName;
  std::string now;
  try {
    const auto found = find_lock(file);
    if (found && found->content == content_) return;
    const auto holder = found ? Holder::parse(found->content) : std::nullopt;
    now = holder  ? "now belongs to " + holder->text()
          : found ? "has been replaced"
                  : "has been deleted";
  } catch (const RefusedError& error) {
    now = fmt::format("has been replaced ({})", error.what());
  }
  throw RefusedError(
      fmt::format(
          "{}: this start no longer owns the run directory, because {} {}; the run stops here "
          "without writing anything more",
          run_directory_.string(), file.string(), now),
      Cause::lost_lock);
}

RunLock::RunLock(const fs::path& run_directory, std::chrono::milliseconds beat)
    : run_directory_(run_directory),
      file_(run_directory / kName),
      fence_(run_directory, Holder::self().content()) {
  const auto begin = std::chrono::steady_clock::now();
  bool held = create();
  for (int tries = 0; !held && tries < kMaxTries; ++tries) {
    const auto found = find_lock(file_);
    if (found && found->content.empty() && std::chrono::steady_clock::now() < begin + kUnwritten) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    } else if (found) {
      const Stale stale = require_stale(*found, file_time(file_), run_directory);
      if (stale.silent) require_silence(file_, *found, beat);
      log::warning("run directory {}: taking over {}", run_directory.string(), stale.why);
      replace();
      held = true;
    } else {
      held = create();
    }
  }
  if (!held) refuse("{}: other processes create and delete it all the time", file_.string());
  heartbeat_ = std::jthread([this, beat](const std::stop_token& stop) { this->beat(stop, beat); });
}

/// Returns false if there is a lock already. File systems without hard links can do this, too.
bool RunLock::create() {
  constexpr mode_t kMode = 0666;
  descriptor_ = Descriptor(
      ::open(file_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kMode));
  if (!descriptor_ && errno == EEXIST) return false;
  int error = descriptor_ ? 0 : errno;
  if (error == 0) {
    error = write_content(descriptor_, fence_.content());
    if (error != 0) ::unlink(file_.c_str());
  }
  if (error == 0) return true;
  if (is_transient(error)) fail_io("create", file_, error);
  refuse("cannot create {}: {}", file_.string(), reason_of(error, file_));
}

/// Replaces a stale lock in one step. If another process does the same, the later one holds it.
void RunLock::replace() {
  write_file(file_, fence_.content());
  std::this_thread::sleep_for(kSettle);
  try {
    fence_.require_held();
  } catch (const RefusedError&) {
    const auto found = find_lock(file_);
    const auto holder = found ? Holder::parse(found->content) : std::nullopt;
    refuse("{}: is in use by {}, which started at the same moment", run_directory_.string(),
           holder ? holder->text() : "another process");
  }
  descriptor_ = Descriptor(::open(file_.c_str(), O_WRONLY | O_NOFOLLOW | O_CLOEXEC));
}

/// Touches the file through its descriptor, so that it never touches another process's lock. An
/// error is no fault: the next write finds out whether the lock is still held.
void RunLock::beat(const std::stop_token& stop, std::chrono::milliseconds pause) {
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, stop, pause, [&] { return stop.stop_requested(); })) {
    (void)::futimens(descriptor_.get(), nullptr);
  }
}

RunLock::~RunLock() {
  heartbeat_ = {};
  descriptor_ = {};  // network file systems cannot delete an open file at once
  try {
    const auto found = find_lock(file_);
    if (found && found->content == fence_.content()) ::unlink(file_.c_str());
  } catch (const std::exception&) {  // not this process's lock, or not readable
  }
}

void require_unlocked(const fs::path& run_directory) {
  const auto found = find_lock(run_directory / kName);
  if (found) (void)require_stale(*found, system_time(), run_directory);
}

}  // namespace simclr
