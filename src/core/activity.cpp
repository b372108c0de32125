#include "simclr/core/activity.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace simclr {
namespace {

thread_local bool t_followed = false;

template <std::size_t N>
void copy_text(std::string_view text, std::array<char, N>& to) {
  std::copy_n(text.begin(), std::min(text.size(), N - 1), to.begin());
}

}  // namespace

std::string to_text(const Whereabouts& at) {
  std::string text = at.step > 0 ? fmt::format("step {}, ", at.step) : "";
  text += at.op >= 0 ? fmt::format("op {} ({})", at.op, at.op_name.data()) : at.phase.data();
  if (at.waits) text += fmt::format(", waiting in {}", at.call.data());
  return text;
}

void Activity::follow_this_thread() { t_followed = true; }

void Activity::begin(const char* phase) {
  phase_.store(phase, std::memory_order_relaxed);
  op_.store(-1, std::memory_order_relaxed);
  phases_.fetch_add(1, std::memory_order_relaxed);
}

void Activity::run_program(const Names& op_names) {
  move();
  const std::lock_guard lock(names_mutex_);
  if (names_ != op_names) names_ = op_names;
}

Whereabouts Activity::now() const {
  Whereabouts at;
  at.phases = phases_.load(std::memory_order_relaxed);
  at.moves = moves_.load(std::memory_order_relaxed);
  at.step = step_.load(std::memory_order_relaxed);
  at.op = op_.load(std::memory_order_relaxed);
  copy_text(phase_.load(std::memory_order_relaxed), at.phase);
  if (const char* call = call_.load(std::memory_order_relaxed)) {
    at.waits = true;
    copy_text(call, at.call);
  }
  const std::lock_guard lock(names_mutex_);
  if (at.op >= 0 && names_ && static_cast<std::size_t>(at.op) < names_->size()) {
    copy_text((*names_)[static_cast<std::size_t>(at.op)], at.op_name);
  }
  return at;
}

Activity& activity() {
  static Activity instance;
  return instance;
}

Waiting::Waiting(const char* call) : followed_(t_followed) {
  if (!followed_) return;
  activity().call_.store(call, std::memory_order_relaxed);
  activity().move();
}

Waiting::~Waiting() {
  if (!followed_) return;
  activity().call_.store(nullptr, std::memory_order_relaxed);
  activity().move();
}

}  // namespace simclr
