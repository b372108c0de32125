#pragma once

#include <string>
#include <utility>
#include <vector>

#include "image_source.hpp"

namespace simclr {

/// Images of one size in memory, (N, height, width, channels); one channel, gray, is given out as
/// three.
class ArraySource final : public ImageSource {
 public:
  struct Size {
    int height = 0;
    int width = 0;
    int channels = 3;
  };

  ArraySource(Size size, std::vector<std::uint8_t> pixels, std::vector<std::int64_t> labels,
              std::vector<std::string> class_names);

  [[nodiscard]] std::int64_t samples() const override;
  [[nodiscard]] const std::vector<std::int64_t>& labels() const override { return labels_; }
  [[nodiscard]] std::vector<std::string> class_names() const override { return class_names_; }
  [[nodiscard]] std::optional<std::pair<int, int>> common_size() const override {
    return std::pair(size_.height, size_.width);
  }
  [[nodiscard]] ImageHeader header(std::int64_t sample) const override;
  DecodingNotes load(std::int64_t sample, Image& out) const override;
  [[nodiscard]] std::vector<std::byte> jpeg_file(std::int64_t sample) const override;
  [[nodiscard]] std::string describe(std::int64_t sample) const override;

 private:
  [[nodiscard]] std::ptrdiff_t image_bytes() const {
    return std::ptrdiff_t{size_.height} * size_.width * size_.channels;
  }

  Size size_;
  std::vector<std::uint8_t> pixels_;
  std::vector<std::int64_t> labels_;
  std::vector<std::string> class_names_;
};

}  // namespace simclr
