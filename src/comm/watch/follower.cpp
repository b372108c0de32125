// Which rank acts when rank 0 is lost. A rank that hears nothing from rank 0 cannot tell whether
// rank 0 is dead or the rank itself is cut off. If rank 0 lives, it has missed this rank at the
// same time and records why the job ended, so a silent rank 0 gets time to do that first. Then the
// remaining ranks act one after another, the lowest first; on_fault does not overwrite what another
// rank has recorded (train/run_state.hpp). A closed connection proves that rank 0's process is
// dead, so that no rank waits for it.

#include "follower.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>

#include "simclr/core/activity.hpp"
#include "simclr/core/check.hpp"

namespace simclr::watch {
namespace {

constexpr double kConnectTimeoutSeconds = 3;
constexpr std::chrono::seconds kAnswerTimeout{10};
constexpr double kReadSeconds = 0.5;
/// Rank 0 drops the oldest connections when strangers open very many.
constexpr int kTries = 3;
constexpr double kRankZeroGraceSeconds = 5;
constexpr double kSecondsBetweenTurns = 0.25;
constexpr int kTurns = 20;  // all higher ranks act in the last turn

}  // namespace

Follower::Follower(WatchSettings settings, const Endpoint& endpoint, Watchdog::Handler on_fault)
    : WatchLoop(std::move(settings)), on_fault_(std::move(on_fault)) {
  ranks_.push_back({.rank = 0, .host = this->settings().hosts.front()});
  bool connected = false;
  for (int tries = 0; tries < kTries && !connected && (tries == 0 || was_dropped_); ++tries) {
    connected = std::ranges::any_of(endpoint.addresses, [&](const std::string& address) {
      return connect(address, endpoint.port);
    });
  }
  if (!connected) {
    fail("rank 0 does not answer on port {} of {}", endpoint.port,
         fmt::join(endpoint.addresses, ", "));
  }
}

bool Follower::connect(const std::string& address, std::uint16_t port) {
  Descriptor socket = connect_to(address, port, kConnectTimeoutSeconds);
  if (!socket) return false;
  root_.emplace(std::move(socket), Connection::Side::other, settings().secret);
  bool has_sent = false;
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + kAnswerTimeout;
  while (Clock::now() < deadline) {
    (void)readable(root_->socket(), kReadSeconds);
    const Connection::Received answer = root_->receive();
    // Another program may listen there: a private address can belong to different machines on
    // different networks.
    if (answer.foreign) return false;
    if (!has_sent && root_->can_send()) {
      root_->send(frame(FrameKind::hello));
      has_sent = true;
    }
    if (!answer.frames.empty()) {
      ranks_.front().update(answer.frames.front().at, now());
      ranks_.front().state = RankRecord::State::present;
      return true;
    }
    if (answer.closed) {
      was_dropped_ = true;
      return false;
    }
  }
  return false;
}

bool Follower::sweep() {
  RankRecord& root = ranks_.front();
  const Connection::Received received = root_->receive();
  for (const Frame& frame : received.frames) {
    root.update(frame.at, now());
    if (frame.kind == FrameKind::abort) end_this_process_soon();
    if (frame.kind == FrameKind::leave) {
      root_.reset();  // rank 0 waits for this connection to close
      return false;
    }
    if (frame.kind == FrameKind::fail && !failing_since_) failing_since_ = now();
  }
  if (received.closed) root.state = RankRecord::State::closed;
  if (root.state == RankRecord::State::present) told_to_end_first_ = activity().told_to_end();
  return true;
}

void Follower::beat() {
  root_->send(frame(FrameKind::beat));
  if (failing_since_) {
    if (now() - *failing_since_ < kFailingRankTimeoutSeconds) return;
    end_this_process_soon();
  }
  const auto lost = lost_ranks(ranks_, now(), settings().options.silence_seconds);
  if (lost.empty()) {
    lost_since_.reset();
    return;
  }
  if (!lost_since_) lost_since_ = now();
  if (now() - *lost_since_ >= turn_to_act()) end_job(lost_fault(lost, now()), on_fault_);
}

double Follower::turn_to_act() const {
  const bool is_dead = ranks_.front().state == RankRecord::State::closed;
  return (told_to_end_first_ ? kLauncherGraceSeconds : 0) + (is_dead ? 0 : kRankZeroGraceSeconds) +
         kSecondsBetweenTurns * static_cast<double>(std::min(settings().rank, kTurns));
}

void Follower::send_last_frame(FrameKind kind) {
  root_->send(frame(kind));
  root_->end_sending();
}

bool Follower::peers_have_closed() { return root_->receive().closed; }

}  // namespace simclr::watch
