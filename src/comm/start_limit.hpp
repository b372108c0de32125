#pragma once
// What happens when a call takes too long that cannot be interrupted.

#include <chrono>
#include <functional>
#include <thread>
#include <vector>

namespace simclr {

/// From its construction to its destruction, a thread runs each action when its time has come.
class StartLimit {
 public:
  struct Action {
    std::chrono::milliseconds after{};  ///< since the construction; later than the action before
    std::function<void()> run;
  };

  explicit StartLimit(std::vector<Action> actions);

 private:
  std::jthread thread_;
};

}  // namespace simclr
