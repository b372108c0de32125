#include "output_directory.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <system_error>
#include <vector>

#include "simclr/core/check.hpp"
#include "simclr/core/system.hpp"
#include "simclr/io/shard_set.hpp"
#include "simclr/io/shard_writer.hpp"

namespace simclr {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDamagedList = "damaged.txt";

/// Leaves room for the numbers and endings of file names, which have at most 255 bytes.
constexpr std::size_t kLongestSetName = 180;

fs::path without_slash(const fs::path& directory) {
  const fs::path whole = fs::absolute(directory).lexically_normal();
  return whole.has_filename() ? whole : whole.parent_path();
}

/// What keeps a name from beginning the names of shards; empty when nothing does.
std::string problem_of(const std::string& name) {
  if (name.empty()) return "is empty";
  if (name.front() == '.') return "begins with a dot, and readers skip hidden files";
  if (name.find('/') != std::string::npos) return "has a slash, which would lead elsewhere";
  if (name.size() > kLongestSetName) return fmt::format("has more than {} bytes", kLongestSetName);
  if (std::ranges::any_of(name, [](unsigned char c) { return std::iscntrl(c) != 0; })) {
    return "has control characters";
  }
  return "";
}

/// True for a temporary file of a killed writer, of this version or an earlier one.
bool is_leftover(const fs::path& path) {
  const std::string name = path.filename().string();
  return std::ranges::any_of(
      std::array{".h5.tmp-", ".h5.spool.tmp-", ".h5.partial-"},
      [&](const char* mark) { return name.find(mark) != std::string::npos; });
}

bool is_inside(const fs::path& path, const fs::path& folder) {
  const fs::path inner = fs::weakly_canonical(path), outer = fs::weakly_canonical(folder);
  return std::ranges::mismatch(outer, inner).in1 == outer.end();
}

}  // namespace

OutputDirectory::OutputDirectory(const PackConfig& config)
    : config_(config),
      path_(without_slash(config.output)),
      name_(config.name.empty() ? path_.filename().string() : config.name) {
  if (config.source == PackSource::folder && is_inside(path_, without_slash(config.input))) {
    refuse(
        "option --output: {} is inside --input {}, whose folders are classes; name another place",
        config.output.string(), config.input.string());
  }
  const std::string problem = problem_of(name_);
  if (problem.empty()) return;
  if (config.name.empty()) {
    refuse(
        "option --output: its name '{}' would begin the names of the shards but {}; give one "
        "with --name",
        name_, problem);
  }
  refuse("option --name: '{}' {}; allowed: a plain file name", name_, problem);
}

fs::path OutputDirectory::shard(std::int64_t shard, std::int64_t shards) const {
  return config_.output / shard_file_name(name_, shard, shards);
}
fs::path OutputDirectory::list_beside() const { return path_.string() + ".damaged.txt"; }
fs::path OutputDirectory::list_inside() const { return config_.output / kDamagedList; }

void OutputDirectory::prepare() {
  if (fs::exists(path_) && !fs::is_directory(path_)) {
    refuse("option --output: {} exists and is not a directory", config_.output.string());
  }
  std::error_code error;
  is_new_ = fs::create_directories(path_, error);
  if (error) {
    refuse("option --output: cannot create {}: {}", config_.output.string(),
           reason_of(error.value(), path_));
  }
  std::vector<fs::path> leftovers, shards;
  for (const auto& entry : fs::directory_iterator(path_)) {
    const std::string file = entry.path().filename().string();
    if (!config_.force) {
      refuse(
          "option --output: {} is not empty (it has {}); choose another directory, or use --force "
          "to replace its shards",
          config_.output.string(), file);
    }
    if (is_leftover(entry.path())) leftovers.push_back(entry.path());
    if (has_shard_extension(entry.path())) shards.push_back(entry.path());
  }
  choose_old_shards(shards);
  for (const fs::path& leftover : leftovers) fs::remove(leftover);
}

void OutputDirectory::choose_old_shards(const std::vector<fs::path>& shards) {
  std::string replaced = name_;
  const auto is_of_replaced = [&](const fs::path& shard) {
    return set_of_shard(shard.filename().string()) == replaced && !fs::is_directory(shard);
  };
  if (!shards.empty() && std::ranges::none_of(shards, is_of_replaced)) {
    replaced = set_of_shard(shards.front().filename().string()).value_or(name_);
  }
  const auto other = std::ranges::find_if_not(shards, is_of_replaced);
  if (other != shards.end()) {
    refuse(
        "option --force: {} is no shard of the data set {} and is not replaced; move it away, or "
        "delete it",
        (config_.output / other->filename()).string(), replaced);
  }
  old_shards_ = shards;
}

void OutputDirectory::remove_old_files() const {
  for (const fs::path& shard : old_shards_) fs::remove(shard);
  fs::remove(list_inside());
}

void OutputDirectory::remove_if_new() const {
  std::error_code not_empty;
  if (is_new_) fs::remove(path_, not_empty);
}

}  // namespace simclr
