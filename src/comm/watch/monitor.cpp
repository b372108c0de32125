#include "monitor.hpp"

#include <algorithm>

#include "simclr/core/activity.hpp"
#include "simclr/core/check.hpp"

namespace simclr::watch {
namespace {

/// Time in which a new connection must send its hello.
constexpr double kHelloTimeoutSeconds = 5;
constexpr double kMaxLateBeats = 3;

}  // namespace

Monitor::Monitor(WatchSettings settings, std::optional<Listener> listener,
                 Watchdog::Handler on_fault)
    : WatchLoop(std::move(settings)),
      listener_(std::move(listener)),
      on_fault_(std::move(on_fault)),
      connections_(this->settings().hosts.size()) {
  for (const std::string& host : this->settings().hosts) {
    ranks_.push_back({.rank = static_cast<int>(ranks_.size()), .host = host});
  }
  ranks_.front().state = RankRecord::State::present;
}

bool Monitor::sweep() {
  if (listener_) admit_pending();
  for (std::size_t rank = 0; rank < connections_.size(); ++rank) {
    if (connections_[rank]) receive_from(rank);
  }
  if (was_paused_too_long()) job_is_ending_ = true;
  if (!job_is_ending_ && !failing_since_ && activity().told_to_end()) {
    job_is_ending_ = true;
    (void)look_for_lost_ranks(kMaxLateBeats * settings().period_seconds(), 0);
  }
  return true;
}

/// Anybody can connect while ranks are missing. A stranger costs one of a limited number of
/// descriptors for a limited time, and when there are more, the oldest is dropped. A rank of the
/// job sends its hello long before: it is read in the next sweep, before others are accepted. Once
/// all ranks have come, nobody can connect any more.
void Monitor::admit_pending() {
  std::erase_if(pending_, [this](PendingConnection& pending) {
    return !admit(pending) || !pending.connection;
  });
  const auto missing = static_cast<std::size_t>(
      std::ranges::count(ranks_, RankRecord::State::absent, &RankRecord::state));
  if (missing == 0) {
    listener_.reset();
    pending_.clear();
    return;
  }
  const std::size_t most = kMaxStrangers + missing;
  for (std::size_t accepted = 0; accepted < most; ++accepted) {
    Descriptor next = accept_next(*listener_);
    if (!next) return;
    if (pending_.size() == most) pending_.erase(pending_.begin());
    pending_.push_back(
        {std::make_unique<Connection>(std::move(next), Connection::Side::root, settings().secret),
         now()});
  }
}

bool Monitor::admit(PendingConnection& pending) {
  const Connection::Received received = pending.connection->receive();
  if (received.frames.empty()) {
    return !received.closed && !received.foreign && now() - pending.since < kHelloTimeoutSeconds;
  }
  const Frame& hello = received.frames.front();
  const auto rank = static_cast<std::size_t>(hello.rank);
  if (hello.kind != FrameKind::hello || rank >= connections_.size() || connections_[rank]) {
    return false;
  }
  pending.connection->send(frame(FrameKind::beat));
  connections_[rank] = std::move(pending.connection);
  ranks_[rank].update(hello.at, now());
  ranks_[rank].state = RankRecord::State::present;
  return true;
}

void Monitor::receive_from(std::size_t rank) {
  RankRecord& record = ranks_[rank];
  const Connection::Received received = connections_[rank]->receive();
  for (const Frame& frame : received.frames) {
    record.update(frame.at, now());
    if (frame.kind == FrameKind::leave) record.state = RankRecord::State::gone;
    if (frame.kind == FrameKind::fail) {
      record.state = RankRecord::State::gone;
      failing_rank_ = record.rank;
      if (!failing_since_) failing_since_ = now();
    }
  }
  if (!received.closed) return;
  if (record.state == RankRecord::State::present) record.state = RankRecord::State::closed;
  connections_[rank].reset();
}

void Monitor::beat() {
  ranks_.front().update(activity().now(), now());
  send_to_all(FrameKind::beat);
  if (failing_since_) {
    if (now() - *failing_since_ < kFailingRankTimeoutSeconds) return;
    const RankRecord& failing = ranks_[static_cast<std::size_t>(failing_rank_)];
    end_job({Cause::error, fmt::format("rank {} on {} failed at {} and did not end the job",
                                       failing.rank, failing.host, to_text(failing.at))},
            {});
  }
  const double settle = job_is_ending_ ? kLauncherGraceSeconds : settings().period_seconds();
  if (look_for_lost_ranks(settings().options.silence_seconds, settle)) return;
  const double news_seconds = kMaxLateBeats * settings().period_seconds();
  if (const auto fault =
          stalled_fault(ranks_, now(), settings().options.timeout_seconds, news_seconds)) {
    end_all(*fault);
  }
}

/// Waits `settle_seconds` after the first loss, because the ranks of a node are lost one shortly
/// after the other and the message should name all of them.
bool Monitor::look_for_lost_ranks(double silence_seconds, double settle_seconds) {
  const auto lost = lost_ranks(ranks_, now(), silence_seconds);
  if (lost.empty()) {
    lost_since_.reset();
    return false;
  }
  if (!lost_since_) lost_since_ = now();
  if (now() - *lost_since_ < settle_seconds) return true;
  end_all(lost_fault(lost, now()));
}

void Monitor::end_all(const Fault& fault) {
  end_job(fault, on_fault_, [this] { send_to_all(FrameKind::abort); });
}

void Monitor::send_to_all(FrameKind kind) const {
  const Frame news = frame(kind);
  for (const auto& connection : connections_) {
    if (connection) connection->send(news);
  }
}

void Monitor::send_last_frame(FrameKind kind) {
  send_to_all(kind);
  for (const auto& connection : connections_) {
    if (connection) connection->end_sending();
  }
}

bool Monitor::peers_have_closed() {
  (void)sweep();
  return std::ranges::none_of(connections_, [](const auto& c) { return c != nullptr; });
}

}  // namespace simclr::watch
