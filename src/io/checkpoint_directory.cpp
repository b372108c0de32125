#include <algorithm>
#include <cerrno>
#include <charconv>

#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "simclr/io/checkpoint.hpp"
#include "simclr/io/directory.hpp"

namespace simclr {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kPrefix = "step-";
constexpr std::string_view kSuffix = ".h5";

/// Parses "step-0000000100.h5" to 100; empty for any other name.
std::optional<std::int64_t> step_of(const std::string& name) {
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return {};
  const char* begin = name.data() + kPrefix.size();
  const char* end = name.data() + name.size() - kSuffix.size();
  std::int64_t step = 0;
  const auto [rest, error] = std::from_chars(begin, end, step);
  if (error != std::errc() || rest != end || begin == end) return {};
  return step;
}

/// Refuses a directory that exists but cannot be listed: the run would seem to have no checkpoints.
std::vector<fs::path> files_in(const fs::path& directory) {
  std::vector<fs::path> files;
  std::error_code unknown;
  if (fs::status(directory, unknown).type() == fs::file_type::not_found) return files;
  for (const DirectoryEntry& entry : list_directory(directory).entries) files.push_back(entry.path);
  return files;
}

}  // namespace

fs::path checkpoint_path(const fs::path& directory, std::int64_t step) {
  return directory / fmt::format("{}{:010}{}", kPrefix, step, kSuffix);
}

std::vector<CheckpointFile> list_checkpoints(const fs::path& directory) {
  std::vector<CheckpointFile> found;
  for (const fs::path& path : files_in(directory)) {
    if (const auto step = step_of(path.filename().string())) found.push_back({path, *step});
  }
  std::sort(found.begin(), found.end(), [](auto& a, auto& b) { return a.step < b.step; });
  return found;
}

std::optional<FoundCheckpoint> newest_valid_checkpoint(const fs::path& directory) {
  std::vector<CheckpointFile> candidates = list_checkpoints(directory);
  if (candidates.empty()) return {};
  for (; !candidates.empty(); candidates.pop_back()) {
    try {
      return FoundCheckpoint{candidates.back(), read_checkpoint(candidates.back().path)};
    } catch (const RefusedError& error) {
      log::warning("{}{}", error.what(),
                   candidates.size() > 1 ? "; falling back to the checkpoint before it" : "");
    }
  }
  refuse("{}: holds no valid checkpoint (see the warnings above)", directory.string());
}

FoundCheckpoint open_checkpoint(const fs::path& run_or_file) {
  if (!fs::is_directory(run_or_file)) {
    if (!fs::exists(run_or_file)) refuse_unreadable(run_or_file, ENOENT);
    Checkpoint checkpoint = read_checkpoint(run_or_file);
    const std::int64_t step = checkpoint.step;
    return {{run_or_file, step}, std::move(checkpoint)};
  }
  const fs::path inner = run_or_file / "checkpoints";
  if (auto found = newest_valid_checkpoint(fs::is_directory(inner) ? inner : run_or_file)) {
    return *std::move(found);
  }
  refuse("{}: holds no checkpoint; give a run directory or a checkpoint file",
         run_or_file.string());
}

void prune_checkpoints(const fs::path& directory, int keep,
                       const std::function<bool(std::int64_t step)>& pinned,
                       const std::vector<std::int64_t>& spared) {
  std::vector<CheckpointFile> files = list_checkpoints(directory);
  std::erase_if(files, [&](const CheckpointFile& f) { return pinned(f.step); });
  const auto kept = static_cast<std::size_t>(keep);
  for (std::size_t i = 0; i + kept < files.size(); ++i) {
    if (std::ranges::find(spared, files[i].step) != spared.end()) continue;
    std::error_code error;
    if (!fs::remove(files[i].path, error)) {
      log::warning("cannot delete the old checkpoint {}: {}", files[i].path.string(),
                   error.message());
    }
  }
}

void remove_unfinished_checkpoints(const fs::path& directory) {
  for (const fs::path& path : files_in(directory)) {
    const std::string name = path.filename().string();
    if (!name.starts_with(kPrefix) || name.find(".h5.tmp-") == std::string::npos) continue;
    std::error_code error;
    fs::remove(path, error);
  }
}

}  // namespace simclr
