#pragma once

#include <utility>

#include "simclr/io/image_file.hpp"

namespace simclr {

/// Returns height and width with a short side of `short_side` pixels; the long side is rounded
/// down. Throws Error when the image would exceed the limits of image_file.hpp.
std::pair<int, int> size_with_short_side(int height, int width, int short_side);

/// Antialiased bicubic resize (a = -0.5, half-pixel centers), computed in float, rounded once.
Image resize_image(const Image& image, int height, int width);

}  // namespace simclr
