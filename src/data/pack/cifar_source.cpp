// CIFAR's binary version: records of one label (two in CIFAR-100: coarse, fine) and 3072 bytes,
// which are planes of 32 x 32 red, green and blue values.

#include <algorithm>
#include <array>
#include <span>
#include <sstream>

#include "array_source.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "simclr/io/directory.hpp"
#include "simclr/io/file.hpp"

namespace simclr {
namespace {

namespace fs = std::filesystem;

constexpr int kSide = 32;
constexpr std::size_t kPlane = std::size_t{kSide} * kSide;
constexpr std::size_t kLongestClassName = 255;  ///< bytes of a class name, as of a folder's

/// A data set: its files of both splits, and its labels in the order of a record's bytes.
struct Cifar {
  struct Label {
    const char* name;
    unsigned classes;
  };
  const char* name;
  std::vector<std::string> train, test;
  std::vector<Label> labels;  ///< the last one is the class
  const char* class_names;

  [[nodiscard]] const std::vector<std::string>& files(PackSplit split) const {
    return split == PackSplit::train ? train : test;
  }
};

const std::array<Cifar, 2>& known_data_sets() {
  static const std::array<Cifar, 2> known = {
      Cifar{.name = "CIFAR-10",
            .train = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                      "data_batch_4.bin", "data_batch_5.bin"},
            .test = {"test_batch.bin"},
            .labels = {{"label", 10}},
            .class_names = "batches.meta.txt"},
      Cifar{.name = "CIFAR-100",
            .train = {"train.bin"},
            .test = {"test.bin"},
            .labels = {{"coarse label", 20}, {"fine label", 100}},
            .class_names = "fine_label_names.txt"}};
  return known;
}

/// Returns the data set of which the directory holds files of this split; refuses an incomplete
/// one, two, and batches that no data set has.
const Cifar& find_data_set(const fs::path& input, PackSplit split) {
  const DirectoryListing listing = list_directory(input);
  const auto holds = [&](const std::string& name) {
    return std::ranges::find(listing.entries, name, &DirectoryEntry::name) != listing.entries.end();
  };
  const Cifar* found = nullptr;
  for (const Cifar& set : known_data_sets()) {
    const auto& files = set.files(split);
    if (std::ranges::none_of(files, holds)) continue;
    if (found != nullptr) {
      refuse("{}: holds {} ({}) and {} ({}); keep each in a directory of its own", input.string(),
             found->files(split).front(), found->name, files.front(), set.name);
    }
    found = &set;
    const auto missing = std::ranges::find_if_not(files, holds);
    if (missing != files.end()) {
      refuse("{}: {} is missing; copy or download {} again", input.string(), *missing, set.name);
    }
  }
  if (found == nullptr) {
    const auto& [ten, hundred] = known_data_sets();
    refuse("{}: holds neither {} ({}) nor {} ({}); the binary version has them", input.string(),
           ten.files(split).front(), ten.name, hundred.files(split).front(), hundred.name);
  }
  for (const DirectoryEntry& entry : listing.entries) {
    const std::string name = entry.name();
    const bool like_a_batch = name.starts_with("data_batch_") && name.ends_with(".bin");
    if (split == PackSplit::train && like_a_batch && std::ranges::count(found->train, name) == 0) {
      refuse("{}: is none of the {} batches of {}; move it away", entry.path.string(),
             found->train.size(), found->name);
    }
  }
  return *found;
}

/// The names of the data set's classes, a line each; empty without the file.
std::vector<std::string> read_class_names(const fs::path& path, const Cifar& set) {
  if (!fs::exists(fs::symlink_status(path))) return {};
  require_file(path);
  std::vector<std::string> names;
  std::istringstream in(read_text_file(path));
  for (std::string line; std::getline(in, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.size() > kLongestClassName) {
      refuse("{}: line {} has {} bytes, which is no class name; download it again", path.string(),
             names.size() + 1, line.size());
    }
    if (!line.empty()) names.push_back(line);
  }
  if (names.size() != set.labels.back().classes) {
    refuse("{}: has {} names, but {} has {} classes; download it again", path.string(),
           names.size(), set.name, set.labels.back().classes);
  }
  return names;
}

class Reader {
 public:
  explicit Reader(const Cifar& set) : set_(set), record_bytes_(set.labels.size() + 3 * kPlane) {}

  void read(const fs::path& path) {
    require_file(path);
    const MappedFile file(path);
    if (file.bytes().empty() || file.bytes().size() % record_bytes_ != 0) {
      refuse("{}: its size of {} bytes is not a multiple of the record size {}; download it again",
             path.string(), file.bytes().size(), record_bytes_);
    }
    std::size_t record = 0;
    for (auto rest = file.bytes(); !rest.empty(); rest = rest.subspan(record_bytes_)) {
      read_labels(path, record++, rest);
      const auto planes = rest.subspan(set_.labels.size());
      for (std::size_t p = 0; p < kPlane; ++p) {
        for (std::size_t c = 0; c < 3; ++c) {
          pixels.push_back(static_cast<std::uint8_t>(planes[c * kPlane + p]));
        }
      }
    }
    if (records_ && *records_ != record) {
      log::info("{}: has {} images, unlike the {} of the batch before", path.string(), record,
                *records_);
    }
    records_ = record;
  }

  std::vector<std::uint8_t> pixels;
  std::vector<std::int64_t> labels;

 private:
  void read_labels(const fs::path& path, std::size_t record, std::span<const std::byte> bytes) {
    for (std::size_t i = 0; i < set_.labels.size(); ++i) {
      const auto value = static_cast<unsigned>(bytes[i]);
      const auto [name, classes] = set_.labels[i];
      if (value >= classes) {
        refuse("{}: record {} has {} {}, but {} has 0 to {}; it is another file or damaged",
               path.string(), record, name, value, set_.name, classes - 1);
      }
    }
    labels.push_back(static_cast<std::int64_t>(bytes[set_.labels.size() - 1]));
  }

  const Cifar& set_;
  std::size_t record_bytes_;
  std::optional<std::size_t> records_;  ///< of the file before
};

}  // namespace

std::unique_ptr<ImageSource> open_cifar(const PackConfig& config) {
  require_folder(config.input);
  const Cifar& set = find_data_set(config.input, config.split);
  Reader reader(set);
  for (const std::string& name : set.files(config.split)) reader.read(config.input / name);
  return std::make_unique<ArraySource>(ArraySource::Size{kSide, kSide}, std::move(reader.pixels),
                                       std::move(reader.labels),
                                       read_class_names(config.input / set.class_names, set));
}

}  // namespace simclr
