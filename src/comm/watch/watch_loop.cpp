#include "watch_loop.hpp"

#include <sys/eventfd.h>

#include <algorithm>

#include "simclr/core/activity.hpp"

namespace simclr::watch {
namespace {

constexpr double kSweepsPerBeat = 10;
constexpr double kBeatsPerSilence = 10;

}  // namespace

double Terms::period_seconds() const {
  return std::clamp(options.silence_seconds / kBeatsPerSilence, 0.05, 1.0);
}

WatchLoop::WatchLoop(Terms terms)
    : terms_(std::move(terms)),
      time_(2 * terms_.period_seconds()),
      wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}

void WatchLoop::take_leave(Farewell farewell) {
  farewell_.store(farewell);
  ::eventfd_write(wake_.get(), 1);
}

Frame WatchLoop::frame(FrameKind kind) const {
  return {.token = terms_.token, .kind = kind, .rank = terms_.rank, .at = activity().now()};
}

void WatchLoop::wait_a_little() {
  (void)readable(wake_, terms_.period_seconds() / kSweepsPerBeat);
  time_.tick();
}

void WatchLoop::run() {
  double next_beat = 0;
  while (farewell_.load() == Farewell::none) {
    if (!sweep()) return;
    if (now() >= next_beat) {
      beat();
      next_beat = now() + terms_.period_seconds();
    }
    wait_a_little();
  }
  end(farewell_.load());
}

/// Whoever closes a connection with something unread in it may destroy its own last words: the
/// sending side is closed first, and the whole when the other end has closed too.
void WatchLoop::end(Farewell farewell) {
  say_farewell(farewell == Farewell::fail ? FrameKind::fail : FrameKind::leave);
  eventfd_t seen = 0;
  ::eventfd_read(wake_.get(), &seen);
  const double patience = farewell == Farewell::fail ? kPatienceWithFail : kPatienceWithLeave;
  for (const double start = now(); now() - start < patience; wait_a_little()) {
    if (farewell_is_taken()) return;
  }
}

}  // namespace simclr::watch
