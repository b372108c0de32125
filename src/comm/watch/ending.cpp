#include "ending.hpp"

#include <chrono>
#include <cstdlib>
#include <thread>

#include "simclr/comm/session.hpp"
#include "simclr/core/log.hpp"

namespace simclr::watch {
namespace {

constexpr int kExitFailed = 1;
constexpr auto kMostForTheReport = std::chrono::seconds(25);  // a busy disk takes its time to sync
constexpr auto kPatienceWithMpi = std::chrono::seconds(3);

[[noreturn]] void exit_after(std::chrono::seconds patience) {
  std::this_thread::sleep_for(patience);
  std::_Exit(kExitFailed);
}

}  // namespace

void end_job(const Fault& fault, const Watchdog::Handler& on_fault,
             const std::function<void()>& tell_others) {
  std::thread([] { exit_after(kMostForTheReport); }).detach();
  log::error("{}", fault.message);
  try {
    if (on_fault) on_fault(fault);
  } catch (const std::exception& error) {
    log::error("{}", error.what());
  }
  if (tell_others) tell_others();
  std::thread([] { exit_after(kPatienceWithMpi); }).detach();
  abort_all_ranks(kExitFailed);
}

void end_this_process_soon() { exit_after(kPatienceWithMpi); }

}  // namespace simclr::watch
