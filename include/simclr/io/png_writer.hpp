#pragma once

#include <filesystem>

#include "simclr/io/image_file.hpp"

namespace simclr {

/// 8-bit RGB PNG that appears whole or not at all. Throws Error naming the file.
void write_png(const std::filesystem::path& path, const Image& image);

}  // namespace simclr
