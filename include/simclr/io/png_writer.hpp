#pragma once

#include <cstddef>
#include <filesystem>
#include <vector>

#include "simclr/io/image_file.hpp"

namespace simclr {

/// Encodes as 8-bit RGB PNG. Throws Error.
std::vector<std::byte> encode_png(const Image& image);

/// Writes a PNG file atomically. Throws Error naming the file.
void write_png(const std::filesystem::path& path, const Image& image);

}  // namespace simclr
