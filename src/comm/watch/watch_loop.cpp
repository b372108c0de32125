#include "watch_loop.hpp"

#include <sys/eventfd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <thread>

#include "simclr/comm/session.hpp"
#include "simclr/core/activity.hpp"
#include "simclr/core/log.hpp"

namespace simclr::watch {
namespace {

constexpr double kSweepsPerBeat = 10;
constexpr double kBeatsPerSilence = 10;

constexpr int kExitFailed = 1;
constexpr auto kReportTimeout = std::chrono::seconds(25);  // syncing a busy disk takes long
constexpr auto kAbortTimeout = std::chrono::seconds(3);

[[noreturn]] void exit_after(std::chrono::seconds timeout) {
  std::this_thread::sleep_for(timeout);
  std::_Exit(kExitFailed);
}

}  // namespace

double WatchSettings::period_seconds() const {
  return std::clamp(options.silence_seconds / kBeatsPerSilence, 0.05, 1.0);
}

WatchLoop::WatchLoop(WatchSettings settings)
    : settings_(std::move(settings)),
      time_(2 * settings_.period_seconds()),
      wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}

void WatchLoop::request_stop(Departure departure) {
  departure_.store(departure);
  ::eventfd_write(wake_.get(), 1);
}

Frame WatchLoop::frame(FrameKind kind) const {
  return {.kind = kind, .rank = settings_.rank, .at = activity().now()};
}

void WatchLoop::pause() {
  (void)readable(wake_, settings_.period_seconds() / kSweepsPerBeat);
  time_.tick();
}

void WatchLoop::run() {
  double next_beat = 0;
  while (departure_.load() == Departure::none) {
    if (!sweep()) return;
    if (now() >= next_beat) {
      beat();
      next_beat = now() + settings_.period_seconds();
    }
    pause();
  }
  end(departure_.load());
}

/// Closing a connection that has unread data may discard the last frame sent. The sending direction
/// is therefore closed first, and the connection after the peer has closed its side.
void WatchLoop::end(Departure departure) {
  send_last_frame(departure == Departure::fail ? FrameKind::fail : FrameKind::leave);
  eventfd_t seen = 0;
  ::eventfd_read(wake_.get(), &seen);
  const double timeout = departure == Departure::fail ? kFailTimeoutSeconds : kLeaveTimeoutSeconds;
  for (const double start = now(); now() - start < timeout; pause()) {
    if (peers_have_closed()) return;
  }
}

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
