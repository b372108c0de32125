#include "start_limit.hpp"

#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <utility>

namespace simclr {
namespace {

void run_all(const std::stop_token& stop, const std::vector<StartLimit::Action>& actions,
             std::chrono::steady_clock::time_point begin) {
  std::mutex mutex;
  std::condition_variable_any sleep;
  std::unique_lock lock(mutex);
  for (const StartLimit::Action& action : actions) {
    if (sleep.wait_until(lock, stop, begin + action.after, [&] { return stop.stop_requested(); })) {
      return;
    }
    action.run();
  }
}

}  // namespace

StartLimit::StartLimit(std::vector<Action> actions)
    : thread_([actions = std::move(actions), begin = std::chrono::steady_clock::now()](
                  const std::stop_token& stop) { run_all(stop, actions, begin); }) {}

}  // namespace simclr
