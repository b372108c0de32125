#include "folder_listing.hpp"

#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include "image_source.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "simclr/io/data_parts.hpp"
#include "simclr/io/directory.hpp"
#include "simclr/io/file.hpp"
#include "simclr/io/image_file.hpp"

namespace simclr {
namespace {

namespace fs = std::filesystem;

constexpr std::array<const char*, 5> kExtensions = {".jpg", ".jpeg", ".jpe", ".jfif", ".png"};
constexpr std::size_t kShownNames = 3;
constexpr std::size_t kShownKinds = 12;
constexpr std::int64_t kMostRepeatedVisits = 10'000;

using FolderIdentity = std::pair<dev_t, ino_t>;  ///< device and number on it

std::string extension_of(const fs::path& path) {
  std::string extension = path.extension().string();
  std::ranges::transform(extension, extension.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return extension;
}

class Lister {
 public:
  Lister(const fs::path& input, bool allow_empty_classes)
      : input_(input), allow_empty_classes_(allow_empty_classes) {}

  FolderListing list() {
    require_folder(input_);
    std::vector<fs::path> folders;
    take_entries(input_, folders);
    if (!folders.empty() && !listing_.files.empty()) {
      refuse(
          "{}: holds both images ({}) and folders ({}); use one folder per class, or no "
          "folders",
          input_.string(), listing_.files.front(), folders.front().filename().string());
    }
    refuse_parts(input_, folders);
    for (const fs::path& folder : folders) take_class(folder);
    refuse_what_is_missing();
    report_left_out();
    return std::move(listing_);
  }

 private:
  /// Refuses folders such as train and val, which hold the classes instead of being two, or the
  /// images of a class that belong to different parts.
  static void refuse_parts(const fs::path& above, const std::vector<fs::path>& folders) {
    std::vector<std::string> names;
    names.reserve(folders.size());
    for (const fs::path& folder : folders) names.push_back(folder.filename().string());
    const auto parts = different_parts(names, OtherWords::alike);
    if (!parts) return;
    refuse("{}: {} and {} are parts of a data set, not classes; pack each by itself",
           above.string(), parts->first, parts->second);
  }

  void take_class(const fs::path& folder) {
    const std::size_t before = listing_.files.size();
    take_folder(folder);
    if (listing_.files.size() == before) empty_classes_.push_back(folder.string());
    std::sort(listing_.files.begin() + static_cast<std::ptrdiff_t>(before), listing_.files.end());
    listing_.classes.push_back(folder.filename().string());
  }

  void take_folder(const fs::path& folder) {
    struct stat status {};
    if (::stat(folder.c_str(), &status) != 0) refuse_unreadable(folder, errno);
    const FolderIdentity identity(status.st_dev, status.st_ino);
    const auto [above, is_outside] = open_folders_.emplace(identity, folder);
    if (!is_outside) {
      refuse("{}: is a link to a folder above it ({}); remove it", folder.string(),
             above->second.string());
    }
    // A few levels of folders with two links each to the next one are millions of paths.
    if (!visited_.insert(identity).second && ++repeated_visits_ > kMostRepeatedVisits) {
      refuse("{}: links lead to the same folders more than {} times; remove them", folder.string(),
             kMostRepeatedVisits);
    }
    std::vector<fs::path> folders;
    take_entries(folder, folders);
    refuse_parts(folder, folders);
    for (const fs::path& inner : folders) take_folder(inner);
    open_folders_.erase(identity);
  }

  /// Takes the images directly in `folder` and appends its folders to `folders`.
  void take_entries(const fs::path& folder, std::vector<fs::path>& folders) {
    const DirectoryListing found = list_directory(folder);
    hidden_ += found.hidden;
    for (const auto& [path, kind] : found.entries) {
      switch (kind) {
        case EntryKind::folder:
          folders.push_back(path);
          break;
        case EntryKind::dangling_link:
          dangling_.push_back(path.string());
          break;
        case EntryKind::other:
          ++left_out_["FIFO, socket or device"];
          break;
        case EntryKind::file:
          take_file(path);
      }
    }
  }

  void take_file(const fs::path& path) {
    // Files that are named like images need not be opened here: damaged ones are found later.
    const std::string extension = extension_of(path);
    const std::string kind = extension.empty() ? "without extension" : extension;
    bool is_image = std::ranges::find(kExtensions, extension) != kExtensions.end();
    try {
      is_image = is_image || image_format(MappedFile(path).bytes()).has_value();
    } catch (const RefusedError&) {
      // A file that may not be read may be an image: it is refused with the damaged ones. One that
      // is too large to be read is none.
      is_image = ::access(path.c_str(), R_OK) != 0;
    }
    if (is_image) {
      listing_.files.push_back(path.lexically_relative(input_).string());
    } else {
      ++left_out_[kind];
    }
  }

  void refuse_what_is_missing() {
    std::ranges::sort(dangling_);
    if (!dangling_.empty()) {
      refuse("{}: links to files that do not exist; mount or copy what they name, or remove them",
             first_names(dangling_, kShownNames));
    }
    if (!empty_classes_.empty() && !allow_empty_classes_) {
      refuse(
          "{}: class folders without JPEG or PNG images{}; remove or fill them, or use "
          "--allow-empty-classes, with which they keep their class numbers",
          first_names(empty_classes_, kShownNames), left_out_in_brackets());
    }
    if (listing_.files.empty()) {
      refuse("{}: holds no JPEG or PNG images{}", input_.string(), left_out_in_brackets());
    }
  }

  void report_left_out() const {
    if (!left_out_.empty()) {
      log::warning("{}: left out: {}; pack reads JPEG and PNG files ({})", input_.string(),
                   left_out_text(), fmt::join(kExtensions, " "));
    } else if (hidden_ > 0) {
      log::info("left out: {}", left_out_text());
    }
  }

  [[nodiscard]] std::string left_out_in_brackets() const {
    const std::string text = left_out_text();
    return text.empty() ? "" : fmt::format(" (left out: {})", text);
  }

  /// "3 .webp, 1 .bmp, 2 hidden", the most frequent kind first.
  [[nodiscard]] std::string left_out_text() const {
    std::vector<std::pair<std::string, std::int64_t>> kinds(left_out_.begin(), left_out_.end());
    std::ranges::stable_sort(kinds, std::greater<>(), &decltype(kinds)::value_type::second);
    std::string text;
    std::int64_t others = 0;
    for (std::size_t i = 0; i < kinds.size(); ++i) {
      if (i < kShownKinds) {
        text += fmt::format("{}{} {}", text.empty() ? "" : ", ", kinds[i].second, kinds[i].first);
      } else {
        others += kinds[i].second;
      }
    }
    if (others > 0) text += fmt::format(", {} of other kinds", others);
    if (hidden_ > 0) text += fmt::format("{}{} hidden", text.empty() ? "" : ", ", hidden_);
    return text;
  }

  const fs::path& input_;
  bool allow_empty_classes_;
  FolderListing listing_;
  std::map<FolderIdentity, fs::path> open_folders_;  ///< from the class folder to the listed one
  std::set<FolderIdentity> visited_;
  std::int64_t repeated_visits_ = 0;
  std::vector<std::string> dangling_, empty_classes_;
  std::map<std::string, std::int64_t> left_out_;
  std::int64_t hidden_ = 0;  ///< files and folders whose names begin with a dot
};

}  // namespace

FolderListing list_images(const fs::path& input, bool allow_empty_classes) {
  return Lister(input, allow_empty_classes).list();
}

}  // namespace simclr
