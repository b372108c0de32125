#pragma once
// JPEG and PNG images as upright RGB.

#include <cstddef>
#include <cstdint>
#include <filesystem>
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

/// Detects the format from the first bytes; the file name does not matter.
std::optional<ImageFormat> image_format(std::span<const std::byte> file);

struct ImageHeader {
  ImageFormat format = ImageFormat::jpeg;
  int height = 0;  ///< upright: after the EXIF orientation is applied
  int width = 0;
};
/// Reads only the header. Throws Error when it is damaged or neither JPEG nor PNG.
ImageHeader read_image_header(std::span<const std::byte> file);

/// Decodes to RGB: converts gray, palette and CMYK, drops transparency, applies EXIF orientation.
/// Reuses the memory of `out`. Throws Error when the file is damaged or truncated.
void decode_image(std::span<const std::byte> file, Image& out);

/// Encodes as baseline JPEG without chroma subsampling; quality 1..100.
std::vector<std::byte> encode_jpeg(const Image& image, int quality);
/// Encodes as 8-bit RGB PNG. Throws Error.
std::vector<std::byte> encode_png(const Image& image);
/// Writes a PNG file atomically. Throws Error naming the file.
void write_png(const std::filesystem::path& path, const Image& image);

}  // namespace simclr
