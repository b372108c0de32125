#include "simclr/io/image_file.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

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
  if (!format) fail("{}", file.empty() ? "an empty file" : "neither a JPEG nor a PNG image");
  return *format;
}

// EXIF 2.3, which records the orientation of cameras: a TIFF 6.0 directory in the APP1 marker.
constexpr std::size_t kEntryBytes = 12;
constexpr unsigned kOrientationTag = 0x0112;
constexpr unsigned kLongType = 4;  // 32 bits; others are read as 16 bits
constexpr unsigned kSignedLongType = 9;
constexpr int kUpright = 1;

/// The TIFF part of an EXIF marker; reads beyond its end return 0.
class Tiff {
 public:
  explicit Tiff(std::span<const std::uint8_t> bytes)
      : bytes_(bytes), little_endian_(!bytes.empty() && bytes[0] == 'I') {}

  [[nodiscard]] unsigned u16(std::size_t at) const {
    return little_endian_ ? byte(at) | byte(at + 1) << 8 : byte(at) << 8 | byte(at + 1);
  }
  [[nodiscard]] unsigned u32(std::size_t at) const {
    return little_endian_ ? u16(at) | u16(at + 2) << 16 : u16(at) << 16 | u16(at + 2);
  }

 private:
  [[nodiscard]] unsigned byte(std::size_t at) const { return at < bytes_.size() ? bytes_[at] : 0u; }

  std::span<const std::uint8_t> bytes_;
  bool little_endian_;
};

}  // namespace

std::optional<ImageFormat> image_format(std::span<const std::byte> file) {
  constexpr std::array<std::uint8_t, 3> kJpeg = {0xFF, 0xD8, 0xFF};
  constexpr std::array<std::uint8_t, 8> kPng = {0x89, 'P', 'N', 'G', 0x0D, 0x0A, 0x1A, 0x0A};
  if (starts_with(file, kJpeg)) return ImageFormat::jpeg;
  if (starts_with(file, kPng)) return ImageFormat::png;
  return std::nullopt;
}

void require_plausible_size(std::int64_t height, std::int64_t width) {
  constexpr std::int64_t kMillion = 1'000'000;
  if (height <= kLongestSide && width <= kLongestSide && height * width <= kMostPixels) return;
  fail("{} x {} pixels; images have at most {} pixels a side and {} million in all", width, height,
       kLongestSide, kMostPixels / kMillion);
}

ImageHeader read_image_header(std::span<const std::byte> file) {
  return require_format(file) == ImageFormat::jpeg ? read_jpeg_header(file) : read_png_header(file);
}

DecodingNotes decode_image(std::span<const std::byte> file, Image& out) {
  return require_format(file) == ImageFormat::jpeg ? decode_jpeg(file, out) : decode_png(file, out);
}

void decode_stored_image(std::span<const std::byte> file, int height, int width, Image& out) {
  decode_image(file, out);
  if (out.height != height || out.width != width) {
    fail("the encoded image is {}x{}, but its shard says {}x{}", out.height, out.width, height,
         width);
  }
}

std::optional<int> exif_orientation(std::span<const std::uint8_t> exif) {
  constexpr std::string_view kBeginning{"Exif\0\0", 6};
  if (!begins_with(exif, kBeginning)) return std::nullopt;
  return tiff_orientation(exif.subspan(kBeginning.size()));
}

std::optional<int> tiff_orientation(std::span<const std::uint8_t> bytes) {
  const Tiff tiff(bytes);
  const std::size_t directory = tiff.u32(4);
  const unsigned entries = tiff.u16(directory);
  for (unsigned i = 0; i < entries; ++i) {
    const std::size_t entry = directory + 2 + i * kEntryBytes;
    if (tiff.u16(entry) != kOrientationTag) continue;
    const unsigned type = tiff.u16(entry + 2);
    const bool is_long = type == kLongType || type == kSignedLongType;
    const unsigned value = is_long ? tiff.u32(entry + 8) : tiff.u16(entry + 8);
    if (value >= 1 && value <= 8) return static_cast<int>(value);
    break;
  }
  return std::nullopt;
}

std::optional<int> xmp_orientation(std::span<const std::uint8_t> packet) {
  constexpr std::string_view kName = "tiff:Orientation";
  const std::string_view text(reinterpret_cast<const char*>(packet.data()), packet.size());
  for (std::size_t at = text.find(kName); at != std::string_view::npos; at = text.find(kName, at)) {
    at += kName.size();
    // name="6" or <name>6</name>
    const std::size_t digit = text.find_first_not_of(" \t\r\n=>\"'", at);
    if (digit == at || digit >= text.size() || text[digit] < '1' || text[digit] > '8') continue;
    if (text.find_first_of(" \t\r\n<\"'", digit) == digit + 1) return text[digit] - '0';
  }
  return std::nullopt;
}

void make_upright(Image& image, int orientation) {
  if (orientation == kUpright) return;
  const bool swapped = swaps_sides(orientation);
  const int height = swapped ? image.width : image.height;
  const int width = swapped ? image.height : image.width;
  // Stored row 0 / column 0 are the upright image's: 2 top/right, 3 bottom/right, 4 bottom/left,
  // 5 left/top, 6 right/top, 7 right/bottom, 8 left/bottom.
  const bool from_right =
      orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool from_bottom =
      orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  std::vector<std::uint8_t> pixels(image.pixels.size());
  auto* out = pixels.data();
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      int row = swapped ? x : y;
      int column = swapped ? y : x;
      if (from_bottom) row = image.height - 1 - row;
      if (from_right) column = image.width - 1 - column;
      const auto* in =
          image.pixels.data() + (static_cast<std::ptrdiff_t>(row) * image.width + column) * 3;
      out = std::copy_n(in, 3, out);
    }
  }
  image.height = height;
  image.width = width;
  image.pixels = std::move(pixels);
}

}  // namespace simclr
