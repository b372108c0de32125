// Images, EXIF, IDX and CIFAR.

#include <zlib.h>

#include <cstring>
#include <span>

#include "data/pack/image_source.hpp"
#include "io/image_codecs.hpp"
#include "simclr/io/image_file.hpp"
#include "targets.hpp"

namespace simclr::fuzz {
namespace {

namespace fs = std::filesystem;

std::span<const std::byte> as_bytes(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string as_text(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Image picture(int height, int width) {
  Image image{.height = height, .width = width, .pixels = {}};
  for (int i = 0; i < height * width * 3; ++i) {
    image.pixels.push_back(static_cast<std::uint8_t>(i * 37 / 5 % 256));
  }
  return image;
}

/// "Exif\0\0" and a TIFF directory with one entry: the orientation.
std::string exif(bool big_endian, char orientation) {
  using namespace std::string_literals;
  return big_endian
             ? "Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0"s + orientation + "\0\0"s
             : "Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0"s + orientation + "\0\0\0"s;
}

std::string jpeg_with_exif(const std::string& jpeg, const std::string& marker) {
  const std::size_t length = marker.size() + 2;
  std::string app1 = "\xFF\xE1";
  app1 += static_cast<char>(length >> 8);
  app1 += static_cast<char>(length);
  return jpeg.substr(0, 2) + app1 + marker + jpeg.substr(2);
}

Corpus jpeg_corpus(const fs::path& /*scratch*/) {
  const std::string plain = as_text(encode_jpeg(picture(9, 14), 80));
  return {.seeds = {plain, as_text(encode_jpeg(picture(40, 24), 20)),
                    jpeg_with_exif(plain, exif(true, 6)), jpeg_with_exif(plain, exif(false, 3))},
          .words = {"\xFF\xD8", "\xFF\xD9", "\xFF\xC0", "\xFF\xC2", "\xFF\xC4", "\xFF\xDA",
                    "\xFF\xDB", "\xFF\xDD", "\xFF\xE1", "\xFF\xEE"}};
}

Corpus png_corpus(const fs::path& /*scratch*/) {
  return {.seeds = {as_text(encode_png(picture(9, 14))), as_text(encode_png(picture(1, 70)))},
          .words = {"IHDR", "PLTE", "IDAT", "IEND", "tRNS", "gAMA", "iCCP", "zTXt", "eXIf"}};
}

/// Reads the header, and the pixels of images that do not take long.
void read_image(const std::string& bytes, const fs::path& /*scratch*/) {
  constexpr std::int64_t kMostPixels = 1 << 20;
  const ImageHeader header = read_image_header(as_bytes(bytes));
  if (std::int64_t{header.height} * header.width > kMostPixels) return;
  Image image;
  (void)decode_image(as_bytes(bytes), image);
}

/// Gives every chunk of a PNG file its right checksum.
void repair_png(std::string& bytes) {
  const auto word = [&](std::size_t at) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      value = value << 8 | static_cast<std::uint8_t>(bytes[at + i]);
    }
    return value;
  };
  constexpr std::size_t kSignature = 8;
  constexpr std::size_t kFrame = 12;  // length, type and checksum of a chunk
  for (std::size_t at = kSignature; at + kFrame <= bytes.size();) {
    const std::size_t length = word(at);
    if (length > bytes.size() - at - kFrame) return;
    const auto* type = reinterpret_cast<const Bytef*>(bytes.data() + at + 4);
    const auto sum = static_cast<std::uint32_t>(crc32(0, type, static_cast<uInt>(length + 4)));
    for (std::size_t i = 0; i < 4; ++i) {
      bytes[at + 8 + length + i] = static_cast<char>(sum >> (24 - 8 * i));
    }
    at += kFrame + length;
  }
}

Corpus exif_corpus(const fs::path& /*scratch*/) {
  return {.seeds = {exif(true, 6), exif(false, 8), "<x tiff:Orientation=\"6\"/>",
                    "<tiff:Orientation> 8 </tiff:Orientation>"},
          .words = {"II*", "MM", "\x12\x01", "\x01\x12", "tiff:Orientation"}};
}

void read_exif(const std::string& bytes, const fs::path& /*scratch*/) {
  const std::vector<std::uint8_t> exact(bytes.begin(), bytes.end());
  (void)exif_orientation(exact);
  (void)xmp_orientation(exact);
}

std::string gzipped(const std::string& bytes, const fs::path& file) {
  gzFile out = gzopen(file.c_str(), "wb");
  gzwrite(out, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(out);
  return read_bytes(file);
}

Corpus idx_corpus(const fs::path& scratch) {
  using namespace std::string_literals;
  const std::string plain = "\0\0\x08\x03\0\0\0\x02\0\0\0\x03\0\0\0\x04"s + std::string(24, '7');
  return {.seeds = {plain, gzipped(plain, scratch / "idx")}, .words = {"\0\0\x08\x03"s}};
}

void read_idx(const std::string& bytes, const fs::path& scratch) {
  PackConfig config;
  config.source = PackSource::idx;
  config.idx_images = write_bytes(scratch / "train-images-idx3-ubyte", bytes);
  (void)open_idx(config)->samples();
}

constexpr std::size_t kCifarRecord = 3073;

Corpus cifar_corpus(const fs::path& /*scratch*/) {
  return {.seeds = {std::string(kCifarRecord, '\x05'), std::string(2 * kCifarRecord, '\x01')},
          .words = {std::string(kCifarRecord, 'x')}};
}

void read_cifar(const std::string& bytes, const fs::path& scratch) {
  PackConfig config;
  config.source = PackSource::cifar_bin;
  config.split = PackSplit::test;
  config.input = scratch;
  write_bytes(scratch / "test_batch.bin", bytes);
  Image image;
  const auto source = open_cifar(config);
  for (std::int64_t i = 0; i < source->samples(); ++i) (void)source->load(i, image);
}

}  // namespace

std::vector<Target> image_targets() {
  return {{"jpeg", kManyInputs, jpeg_corpus, read_image},
          {"png", kManyInputs, png_corpus, read_image, repair_png},
          {"exif", kManyInputs, exif_corpus, read_exif},
          {"idx", kManyInputs, idx_corpus, read_idx},
          {"cifar", kManyInputs, cifar_corpus, read_cifar}};
}

}  // namespace simclr::fuzz
