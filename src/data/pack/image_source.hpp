#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "simclr/comm/communicator.hpp"
#include "simclr/data/pack.hpp"
#include "simclr/io/image_file.hpp"

namespace simclr {

/// A source of images to pack, in packing order.
class ImageSource {
 public:
  ImageSource() = default;
  ImageSource(const ImageSource&) = delete;
  ImageSource& operator=(const ImageSource&) = delete;
  virtual ~ImageSource() = default;

  [[nodiscard]] virtual std::int64_t samples() const = 0;
  /// Empty when the source has no labels.
  [[nodiscard]] virtual const std::vector<std::int64_t>& labels() const = 0;
  [[nodiscard]] virtual std::vector<std::string> class_names() const = 0;
  /// Height and width of every image, if all are known to be equal.
  [[nodiscard]] virtual std::optional<std::pair<int, int>> common_size() const = 0;

  [[nodiscard]] virtual ImageHeader header(std::int64_t sample) const = 0;
  virtual DecodingNotes load(std::int64_t sample, Image& out) const = 0;
  /// The unchanged JPEG file if the sample is one; else empty.
  [[nodiscard]] virtual std::vector<std::byte> jpeg_file(std::int64_t sample) const = 0;
  /// Whether the shards store a name of each sample.
  [[nodiscard]] virtual bool named() const { return false; }
  /// The name to store.
  [[nodiscard]] virtual std::string name(std::int64_t /*sample*/) const { return {}; }
  /// The name of a sample in messages.
  [[nodiscard]] virtual std::string describe(std::int64_t sample) const = 0;
};

/// Refuses an --input that is no directory.
void require_folder(const std::filesystem::path& input);
/// Refuses what cannot be opened as a file: a link that leads nowhere, a folder, a FIFO, a file
/// that this user may not read.
void require_file(const std::filesystem::path& path);

// These throw RefusedError for bad input.
std::unique_ptr<ImageSource> open_folder(const PackConfig& config, Communicator& world);
std::unique_ptr<ImageSource> open_idx(const PackConfig& config);
std::unique_ptr<ImageSource> open_cifar(const PackConfig& config);
/// Gives the source's classes the numbers that they have, by name, in the data set `shards`.
std::unique_ptr<ImageSource> with_classes_of(const std::filesystem::path& shards,
                                             std::unique_ptr<ImageSource> source);

}  // namespace simclr
