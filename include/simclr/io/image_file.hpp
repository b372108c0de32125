#pragma once
// JPEG and PNG images as upright RGB.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace simclr {

/// Upright RGB, (height, width, 3).
struct Image {
  int height = 0;
  int width = 0;
  std::vector<std::uint8_t> pixels;
};

enum class ImageFormat : std::uint8_t { jpeg, png };

/// By the first bytes, whatever the file is called.
std::optional<ImageFormat> image_format(std::span<const std::byte> file);

struct ImageHeader {
  ImageFormat format = ImageFormat::jpeg;
  int height = 0;  ///< upright: after the EXIF orientation is applied
  int width = 0;
};
/// Reads no more than the header. Throws Error: neither JPEG nor PNG, or a damaged header.
ImageHeader read_image_header(std::span<const std::byte> file);

/// Gray, palette and CMYK become RGB, transparency is dropped, EXIF orientation is applied.
/// `out` keeps its memory from image to image. Throws Error when the file is damaged or cut short.
void decode_image(std::span<const std::byte> file, Image& out);

/// Baseline JPEG without chroma subsampling; quality 1..100.
std::vector<std::byte> encode_jpeg(const Image& image, int quality);

}  // namespace simclr
