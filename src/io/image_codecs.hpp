#pragma once

#include "simclr/io/image_file.hpp"

namespace simclr {

ImageHeader read_jpeg_header(std::span<const std::byte> file);
DecodingNotes decode_jpeg(std::span<const std::byte> file, Image& out);
ImageHeader read_png_header(std::span<const std::byte> file);
DecodingNotes decode_png(std::span<const std::byte> file, Image& out);

/// Returns the EXIF orientation: 1 is upright, 2..8 are the other flips and quarter turns.
/// `exif` begins with "Exif\0\0" as in a JPEG's APP1 marker; unreadable data give 1.
int exif_orientation(std::span<const std::uint8_t> exif);
/// The same of EXIF data without that beginning, as in a PNG's eXIf chunk.
int tiff_orientation(std::span<const std::uint8_t> bytes);
/// True when applying the orientation swaps height and width.
inline bool swaps_sides(int orientation) { return orientation >= 5; }
/// Turns pixels stored with this orientation upright.
void make_upright(Image& image, int orientation);

}  // namespace simclr
