#include "run_state.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <nlohmann/json.hpp>

#include "simclr/core/json_text.hpp"
#include "simclr/io/atomic_file.hpp"
#include "simclr/io/retry.hpp"
#include "simclr/train/system_info.hpp"

namespace simclr {
namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
namespace {

constexpr const char* kFile = "state.json";
constexpr std::array kStatusNames{"running", "finished", "stopped-early", "failed"};

const char* name_of(RunStatus status) { return kStatusNames.at(static_cast<std::size_t>(status)); }

std::string text_of(const RunState& state) {
  const Json json{{"status", name_of(state.status)},
                  {"step", state.step},
                  {"reason", state.reason},
                  {"cause", name_of(state.cause)},
                  {"resubmit", helps_to_resubmit(state.cause)},
                  {"restarts", state.restarts},
                  {"job", job_id()}};
  return json_text(json, 2) + "\n";
}

}  // namespace

std::optional<RunState> read_state(const fs::path& directory) {
  std::ifstream in(directory / kFile);
  const Json json = in ? Json::parse(in, nullptr, false) : Json();
  if (!json.is_object()) return {};
  RunState state;
  const std::string status = json.value("status", "");
  const auto* const found = std::ranges::find(kStatusNames, status);
  if (found == kStatusNames.end()) return {};
  state.status = static_cast<RunStatus>(found - kStatusNames.begin());
  state.step = json.value("step", std::int64_t{0});
  state.restarts = json.value("restarts", 0);
  return state;
}

void StateFile::take_over(std::int64_t step, int restarts, RunFence fence) {
  const std::lock_guard lock(mutex_);
  fence_ = std::move(fence);
  state_.step = step;
  state_.restarts = restarts;
  owned_ = true;
}

void StateFile::running(std::int64_t step) {
  const std::lock_guard lock(mutex_);
  if (state_.status != RunStatus::running) return;
  state_.step = step;
  if (is_root_) write();
  begun_ = true;
}

bool StateFile::may_write() const {
  fence_.require_held();
  if (is_root_ && !begun_) return true;  // the file is from an earlier start
  const std::optional<RunState> written = read_state(directory_);
  if (!written) return is_root_;
  return written->status == RunStatus::running && written->restarts == state_.restarts;
}

/// Checks may_write() again just before the rename: rank 0 may have been suspended while it wrote,
/// been reported lost by another rank, and resumed shortly before the launcher kills it.
void StateFile::write() const {
  if (!may_write()) return;
  const fs::path target = directory_ / kFile;
  with_retries(target, [&](int) {
    AtomicFile file(target);
    file.write(text_of(state_));
    file.commit([this] { return may_write(); });
  });
}

void StateFile::end(RunStatus status, Cause cause, const std::string& reason) {
  const std::lock_guard lock(mutex_);
  if (!owned_ || state_.status != RunStatus::running) return;
  state_.status = status;
  state_.cause = cause;
  state_.reason = reason;
  write();
}

}  // namespace simclr
