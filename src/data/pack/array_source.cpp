#include "array_source.hpp"

#include "simclr/core/check.hpp"

namespace simclr {

ArraySource::ArraySource(Size size, std::vector<std::uint8_t> pixels,
                         std::vector<std::int64_t> labels, std::vector<std::string> class_names)
    : size_(size),
      pixels_(std::move(pixels)),
      labels_(std::move(labels)),
      class_names_(std::move(class_names)) {
  require(image_bytes() > 0 && static_cast<std::ptrdiff_t>(pixels_.size()) % image_bytes() == 0,
          "pixels must hold whole images");
}

std::int64_t ArraySource::samples() const {
  return static_cast<std::ptrdiff_t>(pixels_.size()) / image_bytes();
}

ImageHeader ArraySource::header(std::int64_t /*sample*/) const {
  return {ImageFormat::png, size_.height, size_.width};
}

DecodingNotes ArraySource::load(std::int64_t sample, Image& out) const {
  const auto first = pixels_.begin() + sample * image_bytes();
  out.height = size_.height;
  out.width = size_.width;
  if (size_.channels == 3) {
    out.pixels.assign(first, first + image_bytes());
  } else {
    out.pixels.clear();
    for (auto gray = first; gray != first + image_bytes(); ++gray) {
      out.pixels.insert(out.pixels.end(), 3, *gray);
    }
  }
  return {};
}

std::vector<std::byte> ArraySource::jpeg_file(std::int64_t /*sample*/) const { return {}; }

std::string ArraySource::describe(std::int64_t sample) const {
  return fmt::format("sample {}", sample);
}

}  // namespace simclr
