#include "watch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "kernels/kernels.hpp"
#include "memory.hpp"
#include "simclr/core/activity.hpp"

namespace simclr::cuda {

namespace {

using Clock = std::chrono::steady_clock;

// Most waits end within a step: at first a thread only yields, later it leaves the core to others.
constexpr auto kYielding = std::chrono::milliseconds(2);
constexpr auto kNap = std::chrono::microseconds(50);

constexpr std::size_t kLanes = 2;
constexpr std::int32_t kNoOp = -1;

bool has_finished(cudaError_t status) {
  if (status == cudaErrorNotReady) {
    (void)cudaGetLastError();  // no error, but kept as one
    return false;
  }
  check(status, "wait for the device");
  return true;
}

}  // namespace

std::int32_t* Watch::word(Lane lane) {
  if (words_.data() == nullptr) {
    words_ = allocate_pinned(kLanes * sizeof(std::int32_t), "marks of the device's progress");
    std::fill_n(reinterpret_cast<std::int32_t*>(words_.data()), kLanes, kNoOp);
  }
  return reinterpret_cast<std::int32_t*>(words_.data()) + static_cast<std::size_t>(lane);
}

void Watch::clear_marks(cudaStream_t stream) {
  if (words_.data() == nullptr) return;
  for (const Lane lane : {Lane::compute, Lane::gradients}) {
    write_mark({.word = word(lane), .op = kNoOp}, stream);
  }
}

std::optional<std::size_t> Watch::reached(Lane lane) const {
  if (graph_ops_ == nullptr || words_.data() == nullptr) return std::nullopt;
  // The device writes it meanwhile.
  const auto* words = reinterpret_cast<const volatile std::int32_t*>(words_.data());
  const std::int32_t op = words[static_cast<std::size_t>(lane)];
  if (op < 0 || static_cast<std::size_t>(op) >= graph_ops_->size()) return std::nullopt;
  return static_cast<std::size_t>(op);
}

void Watch::tell_reached() const {
  if (const auto op = reached(Lane::compute)) activity().at_op(*op);
}

void Watch::wait(cudaStream_t stream) {
  if (watched_.empty()) return check(cudaStreamSynchronize(stream), "wait for the device");
  wait_until([&] {
    if (stream == graph_stream_) tell_reached();
    return has_finished(cudaStreamQuery(stream));
  });
}

void Watch::wait(const Event& event) {
  if (watched_.empty()) return event.synchronize();
  wait_until([&] {
    tell_reached();
    return has_finished(cudaEventQuery(event.get()));
  });
}

void Watch::wait_until(const std::function<bool()>& done) {
  const Waiting waiting("the device");
  const auto start = Clock::now();
  while (!done()) {
    for (Watched* watched : watched_) {
      if (const auto failure = watched->failure()) give_up(failure->cause, failure->text);
    }
    const auto waited = Clock::now() - start;
    if (waited > std::chrono::duration<double>(timeout_seconds_)) {
      give_up(
          Cause::stalled,
          fmt::format("nothing has finished for {:g} s, another rank may have failed or stalled",
                      timeout_seconds_));
    }
    if (waited < kYielding) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(kNap);
    }
  }
}

void Watch::give_up(Cause cause, const std::string& why) {
  std::string came_to;  // asked before kernels that hang are ended
  if (const auto op = reached(Lane::compute)) {
    came_to += fmt::format(", which has come to {}", (*graph_ops_)[*op]);
  }
  if (const auto op = reached(Lane::gradients)) {
    came_to += fmt::format(", on the gradients lane to {}", (*graph_ops_)[*op]);
  }
  for (Watched* watched : watched_) watched->give_up();
  fail_for(cause, "communication between GPUs was given up: {}; the last collective begun was {}{}",
           why, last_, came_to);
}

}  // namespace simclr::cuda
