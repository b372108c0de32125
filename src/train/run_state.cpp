#include "run_state.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>

#include "simclr/core/check.hpp"
#include "simclr/core/json_text.hpp"
#include "simclr/io/atomic_file.hpp"
#include "simclr/io/file.hpp"
#include "simclr/io/retry.hpp"
#include "simclr/train/system_info.hpp"

namespace simclr {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kStateFile = "state.json";
constexpr std::array kStatusNames{"running", "finished", "stopped-early", "failed"};

const char* name_of(RunStatus status) { return kStatusNames.at(static_cast<std::size_t>(status)); }

constexpr std::int64_t kMostRestarts = 1'000'000'000;

/// A field's value from 0 to `most`, 0 without the field; empty for anything else. Copies no JSON,
/// which would recurse as deep as the file says.
std::optional<std::int64_t> count(const Json& json, const char* field, std::int64_t most) {
  if (!json.contains(field)) return 0;
  const Json& value = json.at(field);
  if (!value.is_number_integer() || value < 0 || value > most) return {};
  return value.get<std::int64_t>();
}

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
  const fs::path file = directory / kStateFile;
  if (!fs::exists(file)) return {};
  const Json json = Json::parse(read_text_file(file), nullptr, false);
  if (!json.is_object()) return {};
  RunState state;
  const bool named = json.contains("status") && json.at("status").is_string();
  const auto status = named ? json.at("status").get<std::string>() : std::string();
  const auto* const found = std::ranges::find(kStatusNames, status);
  const auto step = count(json, "step", std::numeric_limits<std::int64_t>::max());
  const auto restarts = count(json, "restarts", kMostRestarts);
  if (found == kStatusNames.end() || !step || !restarts) return {};
  state.status = static_cast<RunStatus>(found - kStatusNames.begin());
  state.step = *step;
  state.restarts = static_cast<int>(*restarts);
  return state;
}

int restarts_so_far(const fs::path& directory) {
  const fs::path file = directory / kStateFile;
  const std::optional<RunState> state = read_state(directory);
  if (!state && fs::exists(file)) {
    refuse("{}: is not the state of a run; delete it to go on from the newest checkpoint",
           file.string());
  }
  return state ? state->restarts : 0;
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
  const fs::path target = directory_ / kStateFile;
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
