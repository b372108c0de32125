#include "run_directory.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>

#include "records.hpp"
#include "run_state.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "simclr/core/system.hpp"
#include "simclr/io/atomic_file.hpp"
#include "simclr/io/directory.hpp"
#include "simclr/io/file.hpp"
#include "simclr/train/training_job.hpp"

namespace simclr {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kConfigPrefix = "--config=";
constexpr const char* kFileInTheWay = "a file of this name is in the way";

[[noreturn]] void refuse_directory(const fs::path& directory, const std::string& reason) {
  refuse("option --run-dir: cannot create the directory {}: {}", directory.string(), reason);
}

using Values = std::vector<std::pair<std::string, std::string>>;

/// Whether a list of operations is the stored one in another order, which earlier versions ignored.
/// They knew five operations without probabilities, and applied them in the order that this version
/// has stored for such a run.
bool is_list_of_earlier_version(const std::string& now, const std::string& then) {
  constexpr std::array<std::string_view, 5> kKnown{"crop", "flip", "color", "gray", "blur"};
  std::vector<std::string> items;
  if (!read_value(now, items, any_number())) return false;
  const auto is_known = [&](const std::string& item) {
    return std::ranges::find(kKnown, item) != kKnown.end();
  };
  return std::ranges::all_of(items, is_known) && value_text(in_earlier_order(items)) == then;
}

/// Refuses a configuration that differs from the stored one in an option that may not change.
/// Returns the stored one, whose precision --precision auto means from then on, on any device.
std::unique_ptr<TrainingConfig> require_same_run(const std::string& earlier_text,
                                                 const std::string& origin,
                                                 TrainingConfig& config) {
  require_run_of(config.command(), {earlier_text, origin, {}});
  auto earlier = config.with_defaults();
  Options earlier_options = declared_options(*earlier);
  read_stored_options(earlier_options, earlier_text, origin);
  earlier->note_given(earlier_options);
  const bool follows_precision = config.device.precision == Precision::automatic;
  const Values then_values = earlier_options.stored_values();
  Options now_options = declared_options(config);
  const Values now_values = now_options.stored_values();
  for (std::size_t i = 0; i < now_values.size(); ++i) {
    const auto& [name, value] = now_values[i];
    if (now_options.may_change_on_resume(name) || value == then_values[i].second) continue;
    if (name == "precision" && follows_precision) continue;
    if (name == "augment" && is_list_of_earlier_version(value, then_values[i].second)) {
      log::warning("option --augment: the run applies {} in this order, and goes on so",
                   then_values[i].second);
      now_options.set_in_file(name, then_values[i].second, origin + ": ");
      continue;
    }
    refuse(
        "option --{}: this run was started with '{}' ({}), now it is '{}'; a run cannot change it: "
        "use the old value or another --run-dir",
        name, then_values[i].second, origin, value);
  }
  return earlier;
}

/// Refuses data other than those that the checkpoint's run has trained on, wherever they lie.
void require_same_data(const FoundCheckpoint& start, const TrainingConfig& config) {
  const std::string origin = start.file.path.string();
  if (start.checkpoint.data.empty()) {
    log::info("{} does not say what its data hold: they are not compared with {}", origin,
              config.data.string());
    return;
  }
  const std::string found =
      difference(parse_fingerprint(start.checkpoint.data, origin), config.fingerprint);
  if (found.empty()) return;
  refuse(
      "option --data: {} does not hold the data that this run was started with ({}): {}; a run "
      "cannot change its data: give a copy of the old ones or another --run-dir",
      config.data.string(), origin, found);
}

bool holds_a_run(const fs::path& directory) {
  return fs::exists(directory / "config.cfg") ||
         !list_checkpoints(directory / "checkpoints").empty();
}

/// The configuration of the run that the directory holds; null for a new run. See
/// validate_run_directory().
std::unique_ptr<TrainingConfig> stored_run(TrainingConfig& config) {
  if (config.resume == "none") {
    if (holds_a_run(config.run_dir)) {
      refuse(
          "option --run-dir: {} holds a run; with --resume none choose another directory, or go on "
          "with --resume auto",
          config.run_dir.string());
    }
    return nullptr;
  }
  const auto text = stored_configuration(config.run_dir);
  if (!text) return nullptr;
  return require_same_run(*text, (config.run_dir / "config.cfg").string(), config);
}

/// Refuses a run that has had checkpoints and now has none, as when a file system is not mounted:
/// it would begin again, and its records would be lost.
void require_checkpoints(const fs::path& directory) {
  const std::optional<RunState> state = read_state(directory);
  if (!state || state->step == 0) return;
  refuse(
      "{}: holds no checkpoint, but {} says that the run has had one of step {}; bring the "
      "checkpoints back, or delete this file to train from the start",
      (directory / "checkpoints").string(), (directory / "state.json").string(), state->step);
}

/// Refuses anything but a directory in place of one in which a run writes, such as a link that
/// leads nowhere.
void require_directory_or_nothing(const fs::path& directory) {
  std::error_code unknown;
  const bool is_there = fs::symlink_status(directory, unknown).type() != fs::file_type::not_found;
  if (!is_there || entry_kind(directory) == EntryKind::folder) return;
  refuse("{}: is not a directory, nor a link to one; delete it, or bring back where it leads to",
         directory.string());
}

/// Refuses a directory in which this user may not write: a run would end when it first does.
void require_open_directory(const fs::path& directory) {
  if (::access(directory.c_str(), R_OK | X_OK) != 0 && errno != ENOENT) {
    refuse_unreadable(directory, errno);
  }
  if (::access(directory.c_str(), W_OK) != 0 && errno != ENOENT) {
    refuse("cannot write into {}: {}", directory.string(), reason_of(errno, directory));
  }
}

/// Refuses anything but a file in place of one that a start writes and does not read before.
void require_file_or_nothing(const fs::path& file) {
  std::error_code unknown;
  if (!fs::exists(file, unknown) || fs::is_regular_file(file, unknown)) return;
  refuse("option --run-dir: {} is not a plain file; delete it or choose another directory",
         file.string());
}

RunStart find_start(TrainingConfig& config) {
  RunStart start;
  for (const char* directory : {"checkpoints", "eval"}) {
    require_directory_or_nothing(config.run_dir / directory);
  }
  require_open_directory(config.run_dir / "checkpoints");
  if (config.measure_at_end) require_open_directory(config.run_dir / "eval");
  require_file_or_nothing(config.run_dir / "environment.json");
  for (const auto& [name, content] : config.run_files()) {
    require_file_or_nothing(config.run_dir / name);
  }
  if (const auto stored = stored_run(config)) {
    start.precision = stored->device.precision;
    start.pinned_steps = stored->checkpoint_steps;
  }
  if (holds_a_run(config.run_dir)) {
    start.restarts = restarts_so_far(config.run_dir) + 1;
  }
  if (config.resume == "none") return start;
  const bool newest = config.resume == "auto";
  start.checkpoint = newest ? newest_valid_checkpoint(config.run_dir / "checkpoints")
                            : open_checkpoint(config.resume);
  if (!start.checkpoint) require_checkpoints(config.run_dir);
  // Refuses damaged rows while nothing has begun.
  (void)logged_values(config.run_dir / "metrics.jsonl", config.objective().metrics.front().name,
                      start.step());
  if (!start.checkpoint) return start;
  const auto resumed = require_same_run(start.checkpoint->checkpoint.configuration,
                                        start.checkpoint->file.path.string(), config);
  require_same_data(*start.checkpoint, config);
  if (!newest || !start.precision) start.precision = resumed->device.precision;
  return start;
}

}  // namespace

void stay_with_configuration(TrainingConfig& config, const std::vector<std::string>& arguments) {
  fs::path file;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "--run-dir" || argument.starts_with("--run-dir=")) return;
    if (argument == "--config" && i + 1 < arguments.size()) file = arguments[i + 1];
    if (argument.starts_with(kConfigPrefix)) file = argument.substr(kConfigPrefix.size());
  }
  if (file.filename() != "config.cfg") return;
  const fs::path place = fs::absolute(file).lexically_normal().parent_path();
  if (!fs::is_directory(place / "checkpoints") ||
      fs::weakly_canonical(place) == fs::weakly_canonical(config.run_dir)) {
    return;
  }
  log::info("{} was written in {}: the run has been moved and goes on in {}", file.string(),
            config.run_dir.string(), place.string());
  config.run_dir = place;
}

std::optional<Precision> validate_run_directory(TrainingConfig& config) {
  const auto stored = stored_run(config);
  return stored ? std::optional(stored->device.precision) : std::nullopt;
}

std::string configuration_text(TrainingConfig& config, RunDirectoryOption run_directory) {
  std::vector<std::string> omitted;
  if (run_directory == RunDirectoryOption::omitted) omitted.emplace_back("run-dir");
  return declared_options(config).text(config.command(), omitted);
}

void set_aside_after(const fs::path& checkpoints, std::int64_t step, const std::string& why) {
  for (const CheckpointFile& file : list_checkpoints(checkpoints)) {
    if (file.step <= step) continue;
    const fs::path aside = file.path.string() + ".set-aside";
    fs::rename(file.path, aside);
    log::warning("{} {}; it is now {}", file.path.string(), why, aside.filename().string());
  }
}

RunStart check_run_directory(TrainingConfig& config, DirectoryInUse in_use) {
  fs::path at = fs::absolute(config.run_dir).lexically_normal();
  while (!fs::exists(at) && at != at.parent_path()) at = at.parent_path();
  if (!fs::is_directory(at)) refuse_directory(config.run_dir, kFileInTheWay);
  if (::access(at.c_str(), W_OK | X_OK) != 0) {
    const std::string reason = std::strerror(errno);
    refuse_directory(config.run_dir, at.string() + ": " + reason);
  }
  if (in_use == DirectoryInUse::refuse) require_unlocked(config.run_dir);
  return find_start(config);
}

NewDirectory::NewDirectory(const fs::path& directory) {
  for (fs::path at = fs::absolute(directory).lexically_normal();
       !fs::exists(at) && at != at.parent_path(); at = at.parent_path()) {
    made_.push_back(at);
  }
  std::error_code error;
  fs::create_directories(directory, error);
  if (!fs::is_directory(directory)) {
    refuse_directory(directory, error ? reason_of(error.value(), directory) : kFileInTheWay);
  }
}

NewDirectory::~NewDirectory() {
  std::error_code not_empty;
  for (const fs::path& directory : made_) fs::remove(directory, not_empty);
}

RunDirectory::RunDirectory(TrainingConfig& config)
    : path_(config.run_dir), directory_(config.run_dir), lock_(path_), start_(find_start(config)) {}

void RunDirectory::forget_tensors() {
  if (!start_.checkpoint) return;
  Checkpoint& checkpoint = start_.checkpoint->checkpoint;
  for (auto* tensors : {&checkpoint.parameters, &checkpoint.running, &checkpoint.momentum,
                        &checkpoint.second_moment}) {
    tensors->clear();
  }
  return_free_memory();
}

void RunDirectory::begin(TrainingConfig& config) {
  fence().require_held();
  directory_.keep();
  const fs::path checkpoints = path_ / "checkpoints";
  fs::create_directories(checkpoints);
  remove_unfinished_checkpoints(checkpoints);
  set_aside_after(checkpoints, start_.checkpoint ? start_.step() : -1,
                  "is later than the checkpoint that this start resumes from");
  write_file(path_ / "config.cfg", configuration_text(config, RunDirectoryOption::written));
}

}  // namespace simclr
