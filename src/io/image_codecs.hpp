#pragma once

#include <algorithm>
#include <optional>
#include <span>
#include <string_view>

#include "simclr/io/image_file.hpp"

namespace simclr {

ImageHeader read_jpeg_header(std::span<const std::byte> file);
DecodingNotes decode_jpeg(std::span<const std::byte> file, Image& out);
ImageHeader read_png_header(std::span<const std::byte> file);
DecodingNotes decode_png(std::span<const std::byte> file, Image& out);

/// Whether the bytes begin with this text, which may have NUL bytes.
inline bool begins_with(std::span<const std::uint8_t> bytes, std::string_view text) {
  return bytes.size() >= text.size() && std::equal(text.begin(), text.end(), bytes.begin());
}

/// Returns the orientation that EXIF data have: 1 is upright, 2..8 are the other flips and quarter
/// turns; nothing if they have none or cannot be read. `exif` begins with "Exif\0\0" as in a JPEG's
/// APP1 marker.
std::optional<int> exif_orientation(std::span<const std::uint8_t> exif);
/// The same of EXIF data without that beginning, as in a PNG's eXIf chunk.
std::optional<int> tiff_orientation(std::span<const std::uint8_t> bytes);
/// The same of a packet of XMP: the attribute or element tiff:Orientation.
std::optional<int> xmp_orientation(std::span<const std::uint8_t> packet);
/// What an image has: that of EXIF before that of XMP; upright if it has neither.
struct Orientations {
  std::optional<int> exif, xmp;
  [[nodiscard]] int chosen() const { return exif.value_or(xmp.value_or(1)); }
};
/// True when applying the orientation swaps height and width.
inline bool swaps_sides(int orientation) { return orientation >= 5; }
/// Turns pixels stored with this orientation upright.
void make_upright(Image& image, int orientation);

}  // namespace simclr
