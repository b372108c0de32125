// Who speaks for a job that has lost rank 0. A rank that hears nothing of rank 0 cannot tell
// whether rank 0 is dead or whether it is itself cut off, together with few others or many. If rank
// 0 lives it has missed this rank at the same time and writes down why the job ended; so a silent
// rank 0 is left the time to do that first. Then the ranks that are left act one after another, the
// lowest first, and what one of them has written is not written again: on_fault looks before it
// writes (train/run_state.hpp). A closed connection is proof that rank 0's process is dead: nobody
// has to be waited for.

#include "follower.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "ending.hpp"
#include "simclr/core/activity.hpp"
#include "simclr/core/check.hpp"

namespace simclr::watch {
namespace {

constexpr double kSecondsAnAddress = 3;
constexpr double kSecondsForAnAnswer = 10;
constexpr double kForRankZeroToAct = 5;
constexpr double kBetweenTurns = 0.25;
constexpr int kTurns = 20;  // of the ranks after that, all act in the last turn

}  // namespace

Follower::Follower(Terms terms, const Invitation& invitation, Watchdog::Handler on_fault)
    : WatchLoop(std::move(terms)), on_fault_(std::move(on_fault)) {
  ranks_.push_back({.rank = 0, .host = this->terms().hosts.front()});
  const bool connected = std::ranges::any_of(invitation.addresses, [&](const std::string& address) {
    return connect(address, invitation.port);
  });
  if (!connected) {
    fail("rank 0 does not answer at port {} of {}", invitation.port,
         fmt::join(invitation.addresses, ", "));
  }
}

bool Follower::connect(const std::string& address, std::uint16_t port) {
  Descriptor socket = connect_to(address, port, kSecondsAnAddress);
  if (!socket) return false;
  root_.emplace(std::move(socket));
  root_->send(frame(FrameKind::hello));
  // Somebody else may listen there: an address is one machine's here and another's there.
  if (!readable(root_->socket(), kSecondsForAnAnswer)) return false;
  const Connection::Received answer = root_->receive();
  if (answer.frames.empty() || answer.frames.front().token != terms().token) return false;
  ranks_.front().hear(answer.frames.front().at, now());
  ranks_.front().state = RankRecord::State::present;
  return true;
}

bool Follower::sweep() {
  RankRecord& root = ranks_.front();
  const Connection::Received received = root_->receive();
  for (const Frame& frame : received.frames) {
    root.hear(frame.at, now());
    if (frame.kind == FrameKind::abort) end_this_process_soon();
    if (frame.kind == FrameKind::leave) {
      root_.reset();  // rank 0 waits for that
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
    if (now() - *failing_since_ < kPatienceWithFailure) return;
    end_this_process_soon();
  }
  const auto lost = lost_ranks(ranks_, now(), terms().options.silence_seconds);
  if (lost.empty()) {
    lost_since_.reset();
    return;
  }
  if (!lost_since_) lost_since_ = now();
  if (now() - *lost_since_ >= turn_to_act()) end_job(lost_fault(lost, now()), on_fault_);
}

double Follower::turn_to_act() const {
  const bool is_dead = ranks_.front().state == RankRecord::State::closed;
  return (told_to_end_first_ ? kPatienceWithLauncher : 0) + (is_dead ? 0 : kForRankZeroToAct) +
         kBetweenTurns * static_cast<double>(std::min(terms().rank, kTurns));
}

void Follower::say_farewell(FrameKind kind) {
  root_->send(frame(kind));
  root_->end_sending();
}

bool Follower::farewell_is_taken() { return root_->receive().closed; }

}  // namespace simclr::watch
