#include "simclr/io/image_file.hpp"

#include <algorithm>
#include <array>

#include "image_codecs.hpp"
#include "simclr/core/check.hpp"

namespace simclr {
namespace {

bool starts_with(std::span<const std::byte> file, std::span<const std::uint8_t> magic) {
  return file.size() >= magic.size() &&
         std::equal(magic.begin(), magic.end(), file.begin(),
                    [](std::uint8_t a, std::byte b) { return static_cast<std::byte>(a) == b; });
}

ImageFormat require_format(std::span<const std::byte> file) {
  const auto format = image_format(file);
  if (!format) fail("neither a JPEG nor a PNG image");
  return *format;
}

}  // namespace

std::optional<ImageFormat> image_format(std::span<const std::byte> file) {
  constexpr std::array<std::uint8_t, 3> kJpeg = {0xFF, 0xD8, 0xFF};
  constexpr std::array<std::uint8_t, 8> kPng = {0x89, 'P', 'N', 'G', 0x0D, 0x0A, 0x1A, 0x0A};
  if (starts_with(file, kJpeg)) return ImageFormat::jpeg;
  if (starts_with(file, kPng)) return ImageFormat::png;
  return std::nullopt;
}

ImageHeader read_image_header(std::span<const std::byte> file) {
  return require_format(file) == ImageFormat::jpeg ? read_jpeg_header(file) : read_png_header(file);
}

void decode_image(std::span<const std::byte> file, Image& out) {
  if (require_format(file) == ImageFormat::jpeg) {
    decode_jpeg(file, out);
  } else {
    decode_png(file, out);
  }
}

}  // namespace simclr
