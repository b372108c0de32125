// Reads CIFAR's binary version: records of one label (two in CIFAR-100: coarse, fine) and 3072
// bytes, which are planes of 32 x 32 red, green and blue values.

#include <algorithm>
#include <fstream>

#include "image_source.hpp"
#include "simclr/core/check.hpp"
#include "simclr/io/mapped_file.hpp"

namespace simclr {
namespace {

namespace fs = std::filesystem;

constexpr int kSide = 32;
constexpr std::size_t kPlane = std::size_t{kSide} * kSide;

struct CifarFiles {
  std::vector<fs::path> batches;
  std::size_t label_bytes = 1;  ///< the last one is the class
  fs::path class_names;
};

CifarFiles find_files(const PackConfig& config) {
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

}  // namespace

std::unique_ptr<ImageSource> open_cifar(const PackConfig& config) {
  const CifarFiles files = find_files(config);
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
  return std::make_unique<MemorySource>(kSide, kSide, std::move(pixels), std::move(labels),
                                        std::move(names));
}

}  // namespace simclr
