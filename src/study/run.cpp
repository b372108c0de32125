// Runs the works of a study in processes of their own.

#include <fcntl.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>

#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "simclr/core/names.hpp"
#include "simclr/core/system.hpp"
#include "simclr/study/study.hpp"
#include "simclr/train/training_job.hpp"

namespace simclr {
namespace fs = std::filesystem;
namespace {

volatile std::sig_atomic_t stop_signal = 0;

/// Notes the signals that ask for an end while it lives.
class StopSignals {
 public:
  StopSignals() {
    stop_signal = 0;
    struct sigaction action {};
    action.sa_handler = [](int number) { stop_signal = number; };  // without SA_RESTART: waits end
    sigemptyset(&action.sa_mask);
    for (std::size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &action, &before_[i]);
  }
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  ~StopSignals() {
    for (std::size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &before_[i], nullptr);
  }
  /// In a child, before it becomes another program.
  static void restore() {
    for (const int number : kSignals) std::signal(number, SIG_DFL);
  }

 private:
  static constexpr std::array kSignals{SIGINT, SIGTERM, SIGUSR1, SIGHUP};
  std::array<struct sigaction, kSignals.size()> before_{};
};

}  // namespace

// Children keep the lock until they have ended, so that a study that was killed does not go on
// beside what is left of it.
Descriptor lock_study(const fs::path& directory) {
  constexpr int kWaitSeconds = 60;
  const fs::path file = directory / "lock";
  Descriptor lock(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!lock) refuse("cannot write {}: {}", file.string(), reason_of(errno, file));
  for (int second = 0; ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0; ++second) {
    if (errno != EWOULDBLOCK && errno != EINTR) {
      refuse("cannot lock {}: {}", file.string(), std::strerror(errno));
    }
    if (second == kWaitSeconds) {
      refuse("{}: another process runs this study; wait for its end", directory.string());
    }
    if (second == 0) log::info("waiting for the process that runs this study");
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
  return lock;
}

namespace {

/// The end of a child: its exit code, or the signal that has killed it.
struct Ended {
  int code = 0, signal = 0;
};

[[noreturn]] void become(std::vector<char*>& words, int log, int lock, pid_t parent) {
  StopSignals::restore();
  ::setpgid(0, 0);  // the terminal's Ctrl-C reaches the study, which passes it on
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(1);
  ::fcntl(lock, F_SETFD, 0);  // stays open: the child has the lock, too
  const int nothing = ::open("/dev/null", O_RDONLY);
  if (::dup2(nothing, STDIN_FILENO) >= 0 && ::dup2(log, STDOUT_FILENO) >= 0 &&
      ::dup2(log, STDERR_FILENO) >= 0) {
    ::execvp(words[0], words.data());
  }
  constexpr std::string_view kText = "simclr: error: cannot start ";
  (void)!::write(log, kText.data(), kText.size());
  (void)!::write(log, words[0], std::strlen(words[0]));
  (void)!::write(log, "\n", 1);
  ::_exit(1);
}

/// Runs a command line with its streams in the file. Passes a signal to stop on: `stop` is what the
/// command stops on in order.
Ended run_child(std::vector<std::string> command, const fs::path& log_file, int lock, int stop) {
  const Descriptor log(::open(log_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!log) fail("cannot write {}: {}", log_file.string(), reason_of(errno, log_file));
  std::vector<char*> words;
  words.reserve(command.size() + 1);
  for (std::string& word : command) words.push_back(word.data());
  words.push_back(nullptr);
  const pid_t self = ::getpid(), child = ::fork();
  if (child < 0) fail("cannot start {}: {}", command.front(), std::strerror(errno));
  if (child == 0) become(words, log.get(), lock, self);
  // Looks again and again, because a signal may arrive just before a wait.
  constexpr auto kPause = std::chrono::milliseconds(50);
  bool passed = false;
  int status = 0;
  for (pid_t ended = 0; ended != child; ended = ::waitpid(child, &status, WNOHANG)) {
    if (ended < 0 && errno != EINTR) {
      fail("cannot wait for {}: {}", command.front(), std::strerror(errno));
    }
    if (stop_signal != 0 && !passed) {
      ::kill(child, stop);
      passed = true;
    }
    std::this_thread::sleep_for(kPause);
  }
  return WIFEXITED(status) ? Ended{.code = WEXITSTATUS(status), .signal = 0}
                           : Ended{.code = 0, .signal = WTERMSIG(status)};
}

std::vector<std::string> command_line(const Study& study, const StudyWork& work, int ranks,
                                      const fs::path& program) {
  std::vector<std::string> words;
  if (ranks > 1) words = {"mpirun", "-n", std::to_string(ranks)};
  words.insert(words.end(),
               {program.string(), work.command, "--config", study.cell_file(work.cell).string()});
  return words;
}

std::string describe(const Ended& ended) {
  return ended.signal != 0 ? fmt::format("killed by signal {}", ended.signal)
                           : fmt::format("exit code {}", ended.code);
}

}  // namespace

int run_missing_works(const Study& study, int ranks, const fs::path& program,
                      const Descriptor& lock) {
  const StopSignals signals;
  const std::size_t count = study.works().size();
  std::size_t failed = 0;
  for (std::size_t w = 0; w < count; ++w) {
    const StudyWork& work = study.works()[w];
    const StudyOutcome before = study_outcome(study, w);
    if (before.done) continue;
    const std::string what = fmt::format("[{} of {}] {} {}", w + 1, count, work.command, work.name);
    if (work.parent && !study_outcome(study, *work.parent).done) {
      log::info("{}: left out; {}", what, before.problem);
      continue;
    }
    if (stop_signal != 0) return kExitStoppedEarly;
    const fs::path log_file = study.log_file(work);
    log::info("{} ({})", what, log_file.string());
    if (!work.trains()) fs::remove(work.result);  // of an earlier checkpoint
    const Ended ended = run_child(command_line(study, work, ranks, program), log_file, lock.get(),
                                  work.trains() ? SIGUSR1 : SIGTERM);
    if (stop_signal != 0 || ended.code == kExitStoppedEarly) {
      log::info("stopped; to go on: simclr study {} --run", shell_word(study.directory().string()));
      return kExitStoppedEarly;
    }
    const StudyOutcome after = study_outcome(study, w);
    if (after.done) continue;
    ++failed;
    log::warning("{}: {} ({})", what, after.problem, describe(ended));
  }
  return failed == 0 ? 0 : 1;
}

}  // namespace simclr
