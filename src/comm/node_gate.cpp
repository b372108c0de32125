#include "node_gate.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <climits>
#include <ctime>
#include <new>

namespace simclr {
namespace {

/// Time that a rank spins before it sleeps. Ranks of an idle node wait for each other for less than
/// this; a busy machine takes a core away for milliseconds.
constexpr std::chrono::microseconds kSpin{200};
constexpr timespec kNap{.tv_sec = 0, .tv_nsec = 2'000'000};

using Word = std::atomic<std::uint32_t>;
static_assert(Word::is_always_lock_free && sizeof(Word) == sizeof(std::uint32_t),
              "the kernel and other processes read it");

// std::atomic::wait() serves the threads of one process only.
void sleep_while_equal(Word& word, std::uint32_t value) {
  ::syscall(SYS_futex, &word, FUTEX_WAIT, value, &kNap, nullptr, 0);
}
void wake_all(Word& word) { ::syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0); }

}  // namespace

struct NodeGate::State {
  Word arrived{0};
  Word sleeping{0};
  Word round{0};
};

NodeGate::NodeGate(Communicator& ranks)
    : memory_(ranks, sizeof(State)), state_(reinterpret_cast<State*>(memory_.bytes().data())) {
  if (memory_.place().rank == 0) new (state_) State;
  memory_.synchronize();
}

std::uint32_t NodeGate::arrive() {
  const std::uint32_t round = state_->round.load();
  if (state_->arrived.fetch_add(1) + 1 == static_cast<std::uint32_t>(memory_.place().ranks)) {
    state_->arrived.store(0);
    state_->round.fetch_add(1);
    if (state_->sleeping.load() > 0) wake_all(state_->round);
  }
  return round;
}

bool NodeGate::opened(std::uint32_t round) {
  using Clock = std::chrono::steady_clock;
  const auto is_open = [&] { return state_->round.load() != round; };
  const auto end = Clock::now() + kSpin;
  do {
    if (is_open()) return true;
  } while (Clock::now() < end);
  state_->sleeping.fetch_add(1);
  sleep_while_equal(state_->round, round);
  state_->sleeping.fetch_sub(1);
  return is_open();
}

}  // namespace simclr
