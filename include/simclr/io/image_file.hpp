#pragma once
// JPEG and PNG images as upright RGB.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
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
  int height = 0;  ///< upright: after the recorded orientation is applied
  int width = 0;
};
/// The longest side in pixels, as in shards.
inline constexpr int kLongestSide = 65535;
/// The most pixels of an image: 268 million, which take 0.8 GB as RGB. Cameras reach 200 million.
inline constexpr std::int64_t kMostPixels = std::int64_t{1} << 28;
/// Throws Error naming the size when it exceeds these limits.
void require_plausible_size(std::int64_t height, std::int64_t width);

/// Reads only the header. Throws Error when it is damaged or neither JPEG nor PNG, and when the
/// size exceeds the limits or what the file can hold.
ImageHeader read_image_header(std::span<const std::byte> file);

/// What a decoded image does not show.
struct DecodingNotes {
  /// The first warning of libjpeg, such as "Corrupt JPEG data: ..."; empty when there was none.
  std::string warning;
  /// The warning tells of missing data: libjpeg has invented pixels.
  bool invented_pixels = false;
  /// Least and greatest value of 16-bit samples, of which the pixels keep the upper 8 bits.
  struct Range {
    int low = 0;
    int high = 0;
  };
  std::optional<Range> deep_range;
};

/// Decodes to RGB: converts gray, palette and CMYK, drops transparency, applies the orientation
/// of EXIF or, without it, of XMP.
/// Reuses the memory of `out`. Throws Error when the file is damaged or truncated, and when its
/// size exceeds the limits or what the file can hold.
DecodingNotes decode_image(std::span<const std::byte> file, Image& out);

/// Decodes an image of a shard, which records its size. Throws Error as decode_image() does, and
/// when the size is another one.
void decode_stored_image(std::span<const std::byte> file, int height, int width, Image& out);

/// Encodes as baseline JPEG without chroma subsampling; quality 1..100.
std::vector<std::byte> encode_jpeg(const Image& image, int quality);
/// Encodes as 8-bit RGB PNG. Throws Error.
std::vector<std::byte> encode_png(const Image& image);
/// Writes a PNG file atomically. Throws Error naming the file.
void write_png(const std::filesystem::path& path, const Image& image);

}  // namespace simclr
