#include "ending.hpp"

#include <chrono>
#include <cstdlib>
#include <thread>

#include "simclr/comm/session.hpp"
#include "simclr/core/log.hpp"

namespace simclr::watch {
namespace {

constexpr int kExitFailed = 1;
constexpr auto kReportTimeout = std::chrono::seconds(25);  // syncing a busy disk takes long
constexpr auto kAbortTimeout = std::chrono::seconds(3);

[[noreturn]] void exit_after(std::chrono::seconds timeout) {
  std::this_thread::sleep_for(timeout);
  std::_Exit(kExitFailed);
}

}  // namespace

void end_job(const Fault& fault, const Watchdog::Handler& on_fault,
             const std::function<void()>& tell_others) {
  std::thread([] { exit_after(kReportTimeout); }).detach();
  log::error("{}", fault.message);
  try {
    if (on_fault) on_fault(fault);
  } catch (const std::exception& error) {
    log::error("{}", error.what());
  }
  if (tell_others) tell_others();
  std::thread([] { exit_after(kAbortTimeout); }).detach();
  abort_all_ranks(kExitFailed);
}

void end_this_process_soon() { exit_after(kAbortTimeout); }

}  // namespace simclr::watch
