#include "shard_files.hpp"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <map>
#include <optional>
#include <regex>
#include <string>

#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "simclr/io/data_parts.hpp"
#include "simclr/io/directory.hpp"
#include "simclr/io/shard_set.hpp"

namespace simclr {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kShownNames = 3;

std::vector<std::string> names_of(const std::vector<fs::path>& paths) {
  std::vector<std::string> names;
  names.reserve(paths.size());
  for (const fs::path& path : paths) names.push_back(path.filename().string());
  return names;
}

// ---- sets: NAME-00003-of-00008.h5 ----

struct SetMember {
  std::string name, index, count, extension;  // as written
  [[nodiscard]] unsigned long number() const { return std::stoul(index); }
  [[nodiscard]] bool is_of(const SetMember& other) const {
    return name == other.name && std::stoul(count) == std::stoul(other.count);
  }
};

std::optional<SetMember> set_member(const fs::path& path) {
  static const std::regex pattern("(.*)-([0-9]{1,9})-of-([0-9]{1,9})\\.(h5|hdf5)",
                                  std::regex::icase);
  std::smatch match;
  const std::string name = path.filename().string();
  if (!std::regex_match(name, match, pattern)) return std::nullopt;
  return SetMember{match[1], match[2], match[3], match[4]};
}

/// If one shard is named as a member of a set, all must be, of the same set, and none may miss.
void require_complete_set(const std::vector<fs::path>& shards) {
  const auto first =
      std::ranges::find_if(shards, [](const fs::path& p) { return set_member(p).has_value(); });
  if (first == shards.end()) return;
  const SetMember set = *set_member(*first);
  std::map<unsigned long, fs::path> members;
  for (const fs::path& shard : shards) {
    const auto member = set_member(shard);
    if (!member) {
      refuse(
          "{}: does not belong to the data set of {} beside it; move it to a directory of its own",
          shard.string(), first->filename().string());
    }
    if (!member->is_of(set) || member->number() >= std::stoul(set.count)) {
      refuse("{}: belongs to another data set than {}; keep each set in a directory of its own",
             shard.string(), first->filename().string());
    }
    const auto [twin, is_new] = members.emplace(member->number(), shard);
    if (!is_new) {
      refuse("{}: is the same shard of the data set as {}; remove one", shard.string(),
             twin->second.filename().string());
    }
  }
  unsigned long missing = 0;
  while (members.contains(missing)) ++missing;
  if (missing == std::stoul(set.count)) return;
  refuse("{}: {}-{:0>{}}-of-{}.{} is missing; copy or pack the set again",
         first->parent_path().string(), set.name, missing, set.index.size(), set.count,
         set.extension);
}

// ---- parts of a data set: train.h5, valid.h5, test.h5 ----

/// Read as one data set, a folder with train.h5 and test.h5 would train on the test images.
void require_one_part(const fs::path& directory, const std::vector<fs::path>& shards) {
  const auto parts = different_parts(names_of(shards), OtherWords::any);
  if (!parts) return;
  refuse(
      "{}: holds different parts of a data set ({} and {}), which would be read as one; name the "
      "file itself, such as {}, or give each part a directory of its own",
      directory.string(), parts->first, parts->second, (directory / parts->first).string());
}

std::vector<fs::path> list_shards(const fs::path& directory) {
  std::vector<fs::path> shards;
  std::vector<std::string> folders;
  for (const auto& [path, kind] : list_directory(directory).entries) {
    if (kind == EntryKind::folder) folders.push_back(path.filename().string());
    if (kind == EntryKind::folder || !has_shard_extension(path)) continue;
    if (kind == EntryKind::dangling_link) {
      refuse(
          "{}: is a link to a file that does not exist; mount or copy what it names, or remove it",
          path.string());
    }
    if (kind != EntryKind::file) refuse("{}: is no regular file; remove it", path.string());
    shards.push_back(path);
  }
  if (shards.empty()) {
    refuse("{}: holds no shards (*.h5){}; give the directory that `simclr pack` wrote",
           directory.string(),
           folders.empty()
               ? ""
               : fmt::format(", but has folders ({})", first_names(folders, kShownNames)));
  }
  if (!folders.empty()) {
    log::info("{}: its folders are left out of the data set ({})", directory.string(),
              first_names(folders, kShownNames));
  }
  return shards;
}

}  // namespace

bool has_shard_extension(const fs::path& path) {
  std::string extension = path.extension().string();
  std::ranges::transform(extension, extension.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return extension == ".h5" || extension == ".hdf5";
}

std::vector<fs::path> find_shards(const fs::path& path) {
  switch (entry_kind(path)) {
    case EntryKind::file:
      return {path};
    case EntryKind::dangling_link:
      refuse_unreadable(path, ENOENT);
    case EntryKind::other:
      refuse("{}: is neither a file nor a directory", path.string());
    case EntryKind::folder:
      break;
  }
  std::vector<fs::path> shards = list_shards(path);
  require_complete_set(shards);
  require_one_part(path, shards);
  return shards;
}

}  // namespace simclr
