#include "simclr/core/check.hpp"
#include "simclr/data/loader.hpp"
#include "simclr/io/image_file.hpp"

namespace simclr {

struct ImageDecoder::Impl {
  Image image;
};

ImageDecoder::ImageDecoder() : impl_(std::make_unique<Impl>()) {}
ImageDecoder::ImageDecoder(ImageDecoder&&) noexcept = default;
ImageDecoder& ImageDecoder::operator=(ImageDecoder&&) noexcept = default;
ImageDecoder::~ImageDecoder() = default;

ImageRef ImageDecoder::decode(const StoredImage& image) {
  if (image.encoding == ImageEncoding::raw) {
    return {reinterpret_cast<const std::uint8_t*>(image.bytes.data()), image.height, image.width};
  }
  decode_image(image.bytes, impl_->image);
  if (impl_->image.height != image.height || impl_->image.width != image.width) {
    fail("the encoded image is {}x{}, but its shard says {}x{}", impl_->image.height,
         impl_->image.width, image.height, image.width);
  }
  return {impl_->image.pixels.data(), image.height, image.width};
}

}  // namespace simclr
