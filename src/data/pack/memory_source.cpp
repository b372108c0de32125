#include <algorithm>

#include "image_source.hpp"
#include "simclr/core/check.hpp"

namespace simclr {

MemorySource::MemorySource(int height, int width, std::vector<std::uint8_t> pixels,
                           std::vector<std::int64_t> labels, std::vector<std::string> class_names)
    : height_(height),
      width_(width),
      pixels_(std::move(pixels)),
      labels_(std::move(labels)),
      class_names_(std::move(class_names)) {
  require(height > 0 && width > 0 &&
              pixels_.size() %
                      (static_cast<std::size_t>(height) * static_cast<std::size_t>(width) * 3) ==
                  0,
          "pixels must hold whole images");
}

std::int64_t MemorySource::samples() const {
  return static_cast<std::int64_t>(pixels_.size()) / height_ / width_ / 3;
}

std::optional<std::pair<int, int>> MemorySource::common_size() const {
  return std::pair(height_, width_);
}

ImageHeader MemorySource::header(std::int64_t) const { return {ImageFormat::png, height_, width_}; }

void MemorySource::load(std::int64_t sample, Image& out) const {
  const std::ptrdiff_t bytes = std::ptrdiff_t{3} * height_ * width_;
  const auto first = pixels_.begin() + sample * bytes;
  out.height = height_;
  out.width = width_;
  out.pixels.assign(first, first + bytes);
}

std::string MemorySource::describe(std::int64_t sample) const {
  return fmt::format("sample {}", sample);
}

}  // namespace simclr
