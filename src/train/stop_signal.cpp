#include "stop_signal.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <string_view>

#include "simclr/core/activity.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/option_values.hpp"

namespace simclr {
namespace {

std::atomic<int> g_signal{0};
static_assert(std::atomic<int>::is_always_lock_free,
              "a signal handler may only write lock-free atomics");

void remember(int number) {
  g_signal.store(number);
  if (number == SIGTERM) activity().tell_to_end();
  if (number != SIGINT) return;
  constexpr std::string_view kAnswer =
      "\nsimclr: writing a checkpoint and stopping; Ctrl-C again ends at once\n";
  // The answer is only a courtesy, and write() is one of the few calls that a handler may make.
  (void)!::write(STDERR_FILENO, kAnswer.data(), kAnswer.size());
}

/// Whether the parent process has chosen that SIGINT is ignored, as shells do for jobs in the
/// background: Ctrl-C is then meant for another program.
bool ignores_interrupts() {
  struct sigaction action {};
  return sigaction(SIGINT, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

void install(int number, int flags) {
  struct sigaction action {};
  action.sa_handler = remember;
  action.sa_flags = flags;
  sigemptyset(&action.sa_mask);
  if (sigaction(number, &action, nullptr) != 0) fail("cannot install a signal handler");
}

/// Whether a launcher started this process. A launcher handles Ctrl-C itself.
bool is_launched() {
  constexpr std::array kMarks{"OMPI_COMM_WORLD_SIZE", "PMI_RANK", "PMI_SIZE", "SLURM_STEP_ID"};
  return std::ranges::any_of(kMarks, [](const char* name) { return std::getenv(name) != nullptr; });
}

}  // namespace

void install_stop_signals() {
  (void)activity();  // constructed here, before a signal handler uses it
  install(SIGTERM, SA_RESTART);
  install(SIGUSR1, SA_RESTART);
  // After the first one, SIGINT has its default action again, which ends the process at once.
  if (!is_launched() && !ignores_interrupts())
    install(SIGINT, SA_RESTART | static_cast<int>(SA_RESETHAND));
}

std::string reason_to_stop(const Deadline& deadline) {
  switch (g_signal.load()) {
    case SIGINT:
      return "signal SIGINT";
    case SIGTERM:
      return "signal SIGTERM";
    case SIGUSR1:
      return "signal SIGUSR1";
    default:
      break;
  }
  const bool late = deadline && std::chrono::system_clock::now() >= *deadline;
  return late ? "the job's time limit" : "";
}

Stop agree_on_stop(const std::string& reason, Communicator& world) {
  const std::string first = first_text(world, reason);
  return {first, first.starts_with("signal") ? Cause::signal : Cause::time_limit};
}

std::chrono::system_clock::time_point job_deadline(double minutes) {
  const char* text = std::getenv("SLURM_JOB_END_TIME");
  std::int64_t seconds = 0;
  constexpr double kLatest = 1e10;  // the year 2286; the clock's nanoseconds end before 2300
  if (text == nullptr || !read_value(text, seconds, at_least(1).at_most(kLatest))) {
    refuse(
        "option --stop-before-minutes: the end of the job is unknown; set SLURM_JOB_END_TIME to "
        "it, in seconds since 1970");
  }
  using std::chrono::system_clock;
  const std::chrono::duration<double> left(static_cast<double>(seconds) - minutes * 60);
  return system_clock::time_point(std::chrono::duration_cast<system_clock::duration>(left));
}

}  // namespace simclr
