// Reads MNIST's IDX format: a big-endian header (0, 0, type, dimensions, extents), then the values.

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include "image_source.hpp"
#include "simclr/core/check.hpp"

namespace simclr {
namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t kUnsignedBytes = 0x08;

struct IdxArray {
  std::vector<std::uint32_t> extents;
  std::vector<std::uint8_t> values;
};

/// Reads plain and gzip-compressed files.
class IdxReader {
 public:
  explicit IdxReader(const fs::path& path) : path_(path), file_(gzopen(path.c_str(), "rb")) {
    if (!file_) refuse("{}: cannot be opened: {}", path.string(), std::strerror(errno));
  }

  IdxArray read(std::uint32_t dimensions) {
    const std::uint32_t magic = read_word();
    if (magic != (kUnsignedBytes << 8 | dimensions)) {
      refuse("{}: not an IDX file of unsigned bytes in {} dimensions (it begins with 0x{:08x})",
             path_.string(), dimensions, magic);
    }
    IdxArray array;
    std::uint64_t count = 1;
    for (std::uint32_t d = 0; d < dimensions; ++d) {
      array.extents.push_back(read_word());
      count *= array.extents.back();
    }
    array.values.resize(count);
    read_bytes(array.values);
    return array;
  }

 private:
  struct Close {
    void operator()(gzFile_s* file) const { gzclose(file); }
  };

  std::uint32_t read_word() {
    std::array<std::uint8_t, 4> bytes{};
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
        refuse("{}: truncated or damaged ({} bytes missing); download it again", path_.string(),
               out.size());
      }
      out = out.subspan(static_cast<std::size_t>(got));
    }
  }

  fs::path path_;
  std::unique_ptr<gzFile_s, Close> file_;
};

bool contains(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

/// Finds the file of this split in the directory, such as train-images-idx3-ubyte or
/// t10k-labels-idx1-ubyte.gz.
fs::path find_file(const PackConfig& config, const char* what, const char* rank) {
  if (!fs::is_directory(config.input)) {
    refuse("--input {}: no such directory", config.input.string());
  }
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(config.input)) {
    const std::string name = entry.path().filename().string();
    const bool is_test = contains(name, "t10k") || contains(name, "test");
    const bool of_split = config.split == PackSplit::test ? is_test : contains(name, "train");
    if (of_split && contains(name, what) && contains(name, rank)) found.push_back(entry.path());
  }
  const char* split = config.split == PackSplit::test ? "test" : "train";
  if (found.empty()) {
    refuse("--input {}: no file named like '*{}*{}*{}*'; name it with --{}", config.input.string(),
           split, what, rank, what);
  }
  if (found.size() > 1) {
    std::sort(found.begin(), found.end());
    refuse("--input {}: both {} and {} match; name one with --{}", config.input.string(),
           found[0].filename().string(), found[1].filename().string(), what);
  }
  return found.front();
}

std::vector<std::int64_t> read_labels(const PackConfig& config, std::int64_t samples) {
  // Images named without a labels file have no labels.
  if (config.idx_images && !config.idx_labels) return {};
  const fs::path path =
      config.idx_labels ? *config.idx_labels : find_file(config, "labels", "idx1");
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
      config.idx_images ? *config.idx_images : find_file(config, "images", "idx3");
  const IdxArray gray = IdxReader(path).read(3);
  if (gray.values.empty()) refuse("{}: holds no images", path.string());
  std::vector<std::uint8_t> pixels;
  pixels.reserve(3 * gray.values.size());
  for (const std::uint8_t value : gray.values) pixels.insert(pixels.end(), 3, value);
  return std::make_unique<MemorySource>(
      static_cast<int>(gray.extents[1]), static_cast<int>(gray.extents[2]), std::move(pixels),
      read_labels(config, gray.extents[0]), std::vector<std::string>{});
}

}  // namespace simclr
