#include "stop_signal.hpp"

#include <atomic>
#include <csignal>
#include <cstdlib>

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
}

}  // namespace

void install_stop_signals() {
  (void)activity();  // constructed here, before a signal handler uses it
  struct sigaction action {};
  action.sa_handler = remember;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const int number : {SIGTERM, SIGUSR1}) {
    if (sigaction(number, &action, nullptr) != 0) fail("cannot install a signal handler");
  }
}

std::string received_stop_signal() {
  const int number = g_signal.load();
  if (number == 0) return "";
  return number == SIGTERM ? "signal SIGTERM" : "signal SIGUSR1";
}

std::chrono::system_clock::time_point job_deadline(double minutes) {
  const char* text = std::getenv("SLURM_JOB_END_TIME");
  std::int64_t seconds = 0;
  if (text == nullptr || !read_value(text, seconds, at_least(1))) {
    refuse(
        "option --stop-before-minutes: the end of the job is unknown; set SLURM_JOB_END_TIME to "
        "it, in seconds since 1970");
  }
  using std::chrono::system_clock;
  const std::chrono::duration<double> left(static_cast<double>(seconds) - minutes * 60);
  return system_clock::time_point(std::chrono::duration_cast<system_clock::duration>(left));
}

}  // namespace simclr
