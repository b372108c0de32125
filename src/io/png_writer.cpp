#include "simclr/io/png_writer.hpp"

#include <png.h>

#include <span>
#include <vector>

#include "simclr/core/check.hpp"
#include "simclr/io/atomic_file.hpp"

namespace simclr {

std::vector<std::byte> encode_png(const Image& image) {
  require(image.pixels.size() ==
              static_cast<std::size_t>(image.height) * static_cast<std::size_t>(image.width) * 3,
          "the image must have 3*height*width bytes");
  png_image header{};
  header.version = PNG_IMAGE_VERSION;
  header.width = static_cast<png_uint_32>(image.width);
  header.height = static_cast<png_uint_32>(image.height);
  header.format = PNG_FORMAT_RGB;
  constexpr int kWholeRange = 0;  // no conversion to 8 bits
  constexpr int kPackedRows = 0;
  png_alloc_size_t bytes = PNG_IMAGE_PNG_SIZE_MAX(header);
  std::vector<std::byte> file(bytes);
  if (png_image_write_to_memory(&header, file.data(), &bytes, kWholeRange, image.pixels.data(),
                                kPackedRows, nullptr) == 0) {
    fail("cannot encode an image of {} x {} pixels as PNG: {}", image.width, image.height,
         header.message);
  }
  file.resize(bytes);
  return file;
}

void write_png(const std::filesystem::path& path, const Image& image) {
  const std::vector<std::byte> file = encode_png(image);
  write_file(path, [&](AtomicFile& out) { out.write(std::span(file)); });
}

}  // namespace simclr
