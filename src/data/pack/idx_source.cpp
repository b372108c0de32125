// IDX, the format of MNIST and its relatives: a big-endian header (0, 0, type, dimensions,
// extents), then the values.

#include <fmt/ranges.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <span>
#include <tuple>

#include "array_source.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "simclr/io/directory.hpp"

namespace simclr {
namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t kUnsignedBytes = 0x08;
constexpr std::size_t kWordBytes = 4;
/// Images shrink by a factor of 2 to 10. More than this and than kSmallBytes is a file that is made
/// to fill the memory.
constexpr std::uint64_t kMostShrunk = 200;
constexpr std::uint64_t kSmallBytes = std::uint64_t{64} << 20;

struct IdxArray {
  std::vector<std::uint32_t> extents;
  std::vector<std::uint8_t> values;
};

/// Reads plain and gzip-compressed files, and no more of them than the header says.
class IdxReader {
 public:
  explicit IdxReader(const fs::path& path) : path_(path) {
    require_file(path);
    file_bytes_ = fs::file_size(path);
    file_.reset(gzopen(path.c_str(), "rb"));
    if (!file_) refuse_unreadable(path, errno);
  }

  IdxArray read(std::uint32_t dimensions) {
    const std::uint32_t magic = read_word();
    if (magic != (kUnsignedBytes << 8 | dimensions)) {
      refuse("{}: is not an IDX file of unsigned bytes in {} dimensions (it begins with 0x{:08x})",
             path_.string(), dimensions, magic);
    }
    IdxArray array;
    for (std::uint32_t d = 0; d < dimensions; ++d) array.extents.push_back(read_word());
    array.values.resize(promised_values(array.extents));
    read_bytes(array.values);
    require_end();
    return array;
  }

 private:
  struct Close {
    void operator()(gzFile_s* file) const { gzclose(file); }
  };

  /// The number of values; refuses one that the file cannot hold.
  [[nodiscard]] std::uint64_t promised_values(const std::vector<std::uint32_t>& extents) const {
    const std::uint64_t header = kWordBytes * (1 + extents.size());
    const bool plain = gzdirect(file_.get()) != 0;
    const std::uint64_t most =
        plain ? file_bytes_ - header : std::max(kSmallBytes, kMostShrunk * file_bytes_);
    std::uint64_t count = 1;
    for (const std::uint32_t extent : extents) {
      if (extent != 0 && count > most / extent) {
        refuse(
            "{}: its header says {} values, more than its {} bytes {}: truncated or damaged; "
            "download it again",
            path_.string(), fmt::join(extents, " x "), file_bytes_,
            plain ? "hold" : "can plausibly unpack to");
      }
      count *= extent;
    }
    return count;
  }

  std::uint32_t read_word() {
    std::array<std::uint8_t, kWordBytes> bytes{};
    read_bytes(bytes);
    return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 |
           std::uint32_t{bytes[2]} << 8 | bytes[3];
  }

  void read_bytes(std::span<std::uint8_t> out) {
    constexpr std::size_t kMaxBytes = std::size_t{1} << 30;  // gzread counts in an int
    while (!out.empty()) {
      const auto wanted = static_cast<unsigned>(std::min(out.size(), kMaxBytes));
      const int got = gzread(file_.get(), out.data(), wanted);
      if (got <= 0) {
        refuse("{}: is truncated or damaged ({} bytes missing); download it again", path_.string(),
               out.size());
      }
      out = out.subspan(static_cast<std::size_t>(got));
    }
  }

  /// Refuses bytes behind the values, and a compressed file whose checksum is missing or wrong.
  void require_end() {
    std::uint8_t next = 0;
    const int got = gzread(file_.get(), &next, 1);
    int error = Z_OK;
    const char* message = gzerror(file_.get(), &error);
    if (got < 0 || error != Z_OK) {
      refuse("{}: is damaged: {}; download it again", path_.string(), message);
    }
    if (got > 0) {
      refuse("{}: is longer than its header says; download it again", path_.string());
    }
  }

  fs::path path_;
  std::uint64_t file_bytes_ = 0;
  std::unique_ptr<gzFile_s, Close> file_;
};

bool contains(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

/// Removes files that have their unpacked form beside them, and says so.
void prefer_unpacked(std::vector<fs::path>& files) {
  std::erase_if(files, [all = files](const fs::path& file) {
    fs::path unpacked = file;
    unpacked.replace_extension();
    if (file.extension() != ".gz" || std::ranges::count(all, unpacked) == 0) return false;
    log::info("reading {}, not {} beside it", unpacked.string(), file.filename().string());
    return true;
  });
}

/// Finds the file of this split in the directory, such as train-images-idx3-ubyte or
/// t10k-labels-idx1-ubyte.gz.
fs::path find_idx_file(const PackConfig& config, const char* what, const char* rank) {
  require_folder(config.input);
  std::vector<fs::path> found;
  for (const DirectoryEntry& entry : list_directory(config.input).entries) {
    const std::string name = entry.name();
    const bool is_test = contains(name, "t10k") || contains(name, "test");
    const bool of_split = config.split == PackSplit::test ? is_test : contains(name, "train");
    const bool wanted = of_split && contains(name, what) && contains(name, rank);
    if (wanted && entry.kind != EntryKind::folder) found.push_back(entry.path);
  }
  prefer_unpacked(found);
  const char* split = config.split == PackSplit::test ? "test" : "train";
  if (found.empty()) {
    refuse("{}: has no file named like '*{}*{}*{}*'; name it with --{}", config.input.string(),
           split, what, rank, what);
  }
  if (found.size() > 1) {
    refuse("{}: both {} and {} match; name one with --{}", config.input.string(),
           found[0].filename().string(), found[1].filename().string(), what);
  }
  return found.front();
}

std::vector<std::int64_t> read_labels(const PackConfig& config, std::int64_t samples) {
  // Images named without a labels file have no labels.
  if (config.idx_images && !config.idx_labels) return {};
  const fs::path path =
      config.idx_labels ? *config.idx_labels : find_idx_file(config, "labels", "idx1");
  const IdxArray array = IdxReader(path).read(1);
  if (static_cast<std::int64_t>(array.values.size()) != samples) {
    refuse("{}: has {} labels for {} images; use two files of one split", path.string(),
           array.values.size(), samples);
  }
  return {array.values.begin(), array.values.end()};
}

}  // namespace

std::unique_ptr<ImageSource> open_idx(const PackConfig& config) {
  const fs::path path =
      config.idx_images ? *config.idx_images : find_idx_file(config, "images", "idx3");
  IdxArray gray = IdxReader(path).read(3);
  if (gray.values.empty()) refuse("{}: holds no images", path.string());
  const auto [samples, height, width] =
      std::tuple(gray.extents[0], gray.extents[1], gray.extents[2]);
  try {
    require_plausible_size(height, width);
  } catch (const Error& error) {
    refuse("{}: {}", path.string(), error.what());
  }
  const ArraySource::Size size{static_cast<int>(height), static_cast<int>(width), 1};
  return std::make_unique<ArraySource>(size, std::move(gray.values), read_labels(config, samples),
                                       std::vector<std::string>{});
}

}  // namespace simclr
