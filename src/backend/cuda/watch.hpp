#pragma once
// How the host waits for the device when the device may wait for other ranks: a rank that has died
// leaves its peers' kernels spinning for ever, so every wait looks after the communicators.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "runtime.hpp"
#include "simclr/core/cause.hpp"

namespace simclr::cuda {

/// What has gone wrong in the background.
struct Failure {
  std::string text;
  Cause cause = Cause::lost_rank;
};

/// Something by which the device depends on other ranks: a communicator.
class Watched {
 public:
  Watched() = default;
  Watched(const Watched&) = delete;
  Watched& operator=(const Watched&) = delete;
  virtual ~Watched() = default;
  [[nodiscard]] virtual std::optional<Failure> failure() = 0;
  /// Ends what is under way on the device, without the other ranks. Nothing works afterwards.
  virtual void give_up() noexcept = 0;
};

class Watch {
 public:
  explicit Watch(double timeout_seconds) : timeout_seconds_(timeout_seconds) {}

  void add(Watched& watched) { watched_.push_back(&watched); }
  void remove(Watched& watched) { std::erase(watched_, &watched); }

  /// Names the collective, or the graph of collectives, that was enqueued last.
  void enqueued(std::string operation) { last_ = std::move(operation); }

  /// Returns when all that is enqueued on `stream` has run. Throws Error naming the last collective
  /// when a communicator fails or the time limit is over; all communicators are given up then.
  void wait(cudaStream_t stream);
  /// The same for all that was enqueued before `event` was recorded.
  void wait(const Event& event);
  /// The same until done().
  void wait_until(const std::function<bool()>& done);

 private:
  void check_on_watched();
  [[noreturn]] void give_up(Cause cause, const std::string& why);

  double timeout_seconds_;
  std::vector<Watched*> watched_;
  std::string last_ = "none";
};

}  // namespace simclr::cuda
