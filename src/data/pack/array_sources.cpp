// Sources that decode a whole data set into memory: CIFAR and MNIST's relatives.

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>

#include "image_source.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/checked.hpp"
#include "simclr/io/file.hpp"

namespace simclr {
namespace {

namespace fs = std::filesystem;

/// Images of one size kept in memory, (N, height, width, 3).
class ArraySource final : public ImageSource {
 public:
  ArraySource(int height, int width, std::vector<std::uint8_t> pixels,
              std::vector<std::int64_t> labels, std::vector<std::string> class_names)
      : height_(height),
        width_(width),
        pixels_(std::move(pixels)),
        labels_(std::move(labels)),
        class_names_(std::move(class_names)) {
    const auto image_bytes = static_cast<std::size_t>(height) * static_cast<std::size_t>(width) * 3;
    require(height > 0 && width > 0 && pixels_.size() % image_bytes == 0,
            "pixels must hold whole images");
  }

  [[nodiscard]] std::int64_t samples() const override {
    return static_cast<std::int64_t>(pixels_.size()) / height_ / width_ / 3;
  }
  [[nodiscard]] const std::vector<std::int64_t>& labels() const override { return labels_; }
  [[nodiscard]] std::vector<std::string> class_names() const override { return class_names_; }
  [[nodiscard]] std::optional<std::pair<int, int>> common_size() const override {
    return std::pair(height_, width_);
  }
  [[nodiscard]] ImageHeader header(std::int64_t /*sample*/) const override {
    return {ImageFormat::png, height_, width_};
  }
  void load(std::int64_t sample, Image& out) const override {
    const std::ptrdiff_t bytes = std::ptrdiff_t{3} * height_ * width_;
    const auto first = pixels_.begin() + sample * bytes;
    out.height = height_;
    out.width = width_;
    out.pixels.assign(first, first + bytes);
  }
  [[nodiscard]] std::vector<std::byte> jpeg_file(std::int64_t /*sample*/) const override {
    return {};
  }
  [[nodiscard]] std::string describe(std::int64_t sample) const override {
    return fmt::format("sample {}", sample);
  }

 private:
  int height_, width_;
  std::vector<std::uint8_t> pixels_;
  std::vector<std::int64_t> labels_;
  std::vector<std::string> class_names_;
};

// ---- CIFAR ----
// Its binary version: records of one label (two in CIFAR-100: coarse, fine) and 3072 bytes, which
// are planes of 32 x 32 red, green and blue values.

constexpr int kSide = 32;
constexpr std::size_t kPlane = std::size_t{kSide} * kSide;

struct CifarFiles {
  std::vector<fs::path> batches;
  std::size_t label_bytes = 1;  ///< the last one is the class
  fs::path class_names;
};

CifarFiles find_cifar_files(const PackConfig& config) {
  const fs::path& input = config.input;
  if (!fs::is_directory(input)) refuse("--input {}: no such directory", input.string());
  const bool train = config.split == PackSplit::train;
  CifarFiles files;
  files.class_names = input / "batches.meta.txt";
  for (const auto& entry : fs::directory_iterator(input)) {
    const std::string name = entry.path().filename().string();
    const bool wanted = train ? name.starts_with("data_batch_") : name == "test_batch.bin";
    if (wanted && entry.path().extension() == ".bin") files.batches.push_back(entry.path());
  }
  if (files.batches.empty()) {
    const fs::path hundred = input / (train ? "train.bin" : "test.bin");
    if (!fs::is_regular_file(hundred)) {
      refuse("--input {}: holds neither {} (CIFAR-10) nor {} (CIFAR-100)", input.string(),
             train ? "data_batch_*.bin" : "test_batch.bin", hundred.filename().string());
    }
    files = {{hundred}, 2, input / "fine_label_names.txt"};
  }
  std::sort(files.batches.begin(), files.batches.end());
  return files;
}

std::vector<std::string> read_lines(const fs::path& path) {
  std::vector<std::string> lines;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

// ---- IDX ----
// MNIST's format: a big-endian header (0, 0, type, dimensions, extents), then the values.

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
    for (std::uint32_t d = 0; d < dimensions; ++d) array.extents.push_back(read_word());
    constexpr std::uint64_t kMostCompression = 1100;  // gzip's limit is 1032
    const auto count = checked_product(array.extents, kMostCompression * fs::file_size(path_));
    if (!count) refuse("{}: claims more values than a file of its size can hold", path_.string());
    array.values.resize(*count);
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
fs::path find_idx_file(const PackConfig& config, const char* what, const char* rank) {
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
      config.idx_labels ? *config.idx_labels : find_idx_file(config, "labels", "idx1");
  const IdxArray array = IdxReader(path).read(1);
  if (static_cast<std::int64_t>(array.values.size()) != samples) {
    refuse("{}: has {} labels for {} images; use two files of one split", path.string(),
           array.values.size(), samples);
  }
  return {array.values.begin(), array.values.end()};
}

}  // namespace

std::unique_ptr<ImageSource> open_cifar(const PackConfig& config) {
  const CifarFiles files = find_cifar_files(config);
  const std::size_t record = files.label_bytes + 3 * kPlane;
  std::vector<std::uint8_t> pixels;
  std::vector<std::int64_t> labels;
  for (const fs::path& path : files.batches) {
    const MappedFile file(path);
    if (file.bytes().empty() || file.bytes().size() % record != 0) {
      refuse("{}: its size of {} bytes is not a multiple of the record size {}; download it again",
             path.string(), file.bytes().size(), record);
    }
    for (auto rest = file.bytes(); !rest.empty(); rest = rest.subspan(record)) {
      labels.push_back(static_cast<std::int64_t>(rest[files.label_bytes - 1]));
      const auto planes = rest.subspan(files.label_bytes);
      for (std::size_t p = 0; p < kPlane; ++p) {
        for (std::size_t c = 0; c < 3; ++c) {
          pixels.push_back(static_cast<std::uint8_t>(planes[c * kPlane + p]));
        }
      }
    }
  }
  std::vector<std::string> names = read_lines(files.class_names);
  return std::make_unique<ArraySource>(kSide, kSide, std::move(pixels), std::move(labels),
                                       std::move(names));
}

std::unique_ptr<ImageSource> open_idx(const PackConfig& config) {
  const fs::path path =
      config.idx_images ? *config.idx_images : find_idx_file(config, "images", "idx3");
  const IdxArray gray = IdxReader(path).read(3);
  if (gray.values.empty()) refuse("{}: holds no images", path.string());
  std::vector<std::uint8_t> pixels;
  pixels.reserve(3 * gray.values.size());
  for (const std::uint8_t value : gray.values) pixels.insert(pixels.end(), 3, value);
  return std::make_unique<ArraySource>(
      static_cast<int>(gray.extents[1]), static_cast<int>(gray.extents[2]), std::move(pixels),
      read_labels(config, gray.extents[0]), std::vector<std::string>{});
}

}  // namespace simclr
