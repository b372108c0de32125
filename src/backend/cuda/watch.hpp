#pragma once
// How the host waits for the device when the device may wait for other ranks: a rank that has died
// leaves its peers' kernels spinning for ever, so every wait looks after the communicators.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime.hpp"
#include "simclr/backend/backend.hpp"
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
  Watched(const Watched&) = delete;  // the watch keeps its address
  Watched& operator=(const Watched&) = delete;
  virtual ~Watched() = default;
  [[nodiscard]] virtual std::optional<Failure> failure() = 0;
  /// Ends what is under way on the device, without the other ranks. Nothing works afterwards.
  virtual void give_up() noexcept = 0;
};

class Watch {
 public:
  using OpNames = std::shared_ptr<const std::vector<std::string>>;

  explicit Watch(double timeout_seconds) : timeout_seconds_(timeout_seconds) {}

  void add(Watched& watched) { watched_.push_back(&watched); }
  void remove(Watched& watched) { std::erase(watched_, &watched); }

  /// Names the collective that was enqueued last.
  void enqueued(std::string operation) {
    last_ = std::move(operation);
    graph_ops_ = nullptr;
  }
  /// The same of a graph of collectives on the compute lane, `stream`, which mark how far they have
  /// come by numbers of `ops`. Who waits for that lane says so of this process, too.
  void enqueued_graph(const std::string& name, OpNames ops, cudaStream_t stream) {
    last_ = name;
    graph_ops_ = std::move(ops);
    graph_stream_ = stream;
  }

  /// Where collectives of a lane mark that the device has come to them (kernels/kernels.hpp).
  std::int32_t* word(Lane lane);
  /// The last that a range of ops does on `stream`, the compute lane's: it has come to its end.
  void clear_marks(cudaStream_t stream);

  /// Returns when all that is enqueued on `stream` has run. Throws Error naming the last collective
  /// when a communicator fails or the time limit is over; all communicators are given up then.
  void wait(cudaStream_t stream);
  /// The same for all that was enqueued before `event` was recorded.
  void wait(const Event& event);
  /// The same until done().
  void wait_until(const std::function<bool()>& done);

 private:
  /// The op that the device has come to on a lane; nothing where no graph with marks is under way.
  [[nodiscard]] std::optional<std::size_t> reached(Lane lane) const;
  void tell_reached() const;
  [[noreturn]] void give_up(Cause cause, const std::string& why);

  double timeout_seconds_;
  std::vector<Watched*> watched_;
  std::string last_ = "none";
  OpNames graph_ops_;  ///< of the graph that was enqueued last, if that came last
  cudaStream_t graph_stream_ = nullptr;
  Buffer words_;  ///< int32, one a lane
};

}  // namespace simclr::cuda
