#pragma once

#include <cstddef>
#include <filesystem>
#include <vector>

#include "simclr/io/image_file.hpp"

namespace simclr {

/// 8-bit RGB PNG, as a file holds it. Throws Error.
std::vector<std::byte> encode_png(const Image& image);

/// A PNG that appears whole or not at all. Throws Error naming the file.
void write_png(const std::filesystem::path& path, const Image& image);

}  // namespace simclr
