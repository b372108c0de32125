// The reader of libpng reports errors by a long jump, which runs no destructors: no object with one
// may be created between setjmp and the calls.

#include <png.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "image_codecs.hpp"
#include "simclr/core/check.hpp"
#include "simclr/io/atomic_file.hpp"

namespace simclr {
namespace {

class PngReader {
 public:
  explicit PngReader(std::span<const std::byte> file) : rest_(file) {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, leave, ignore);
    info_ = png_ != nullptr ? png_create_info_struct(png_) : nullptr;
    if (info_ == nullptr) {
      png_destroy_read_struct(&png_, nullptr, nullptr);
      fail("no memory to read a PNG image");
    }
    png_set_read_fn(png_, this, read);
    // The size is checked below, with a message that names it.
    png_set_user_limits(png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    guarded([](PngReader& me, std::uint8_t*) { png_read_info(me.png_, me.info_); }, nullptr);
  }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;
  ~PngReader() { png_destroy_read_struct(&png_, &info_, nullptr); }

  [[nodiscard]] int height() const { return static_cast<int>(png_get_image_height(png_, info_)); }
  [[nodiscard]] int width() const { return static_cast<int>(png_get_image_width(png_, info_)); }

  [[nodiscard]] bool is_deep() const { return png_get_bit_depth(png_, info_) == kDeepBits; }

  /// Throws Error when the header promises more than a file of this length can hold.
  void require_plausible(std::size_t file_bytes) const {
    require_plausible_size(height(), width());
    constexpr std::size_t kBitsPerByte = 8;
    constexpr std::size_t kBestRatio = 1032;  // of deflate
    const std::size_t bits = static_cast<std::size_t>(height()) *
                             static_cast<std::size_t>(width()) * png_get_channels(png_, info_) *
                             png_get_bit_depth(png_, info_);
    if (bits / kBitsPerByte > file_bytes * kBestRatio) {
      fail("damaged PNG: {} x {} pixels cannot be in {} bytes", width(), height(), file_bytes);
    }
  }

  /// Reads all rows as RGB: the stored values without gamma correction and transparency. A sample
  /// takes one byte, or two in big-endian order when the image is deep.
  void read_pixels(std::uint8_t* out) {
    guarded(
        [](PngReader& me, std::uint8_t* pixels) {
          png_set_expand(me.png_);
          png_set_gray_to_rgb(me.png_);
          png_set_strip_alpha(me.png_);
          const int passes = png_set_interlace_handling(me.png_);
          png_read_update_info(me.png_, me.info_);
          const std::size_t row_bytes = png_get_rowbytes(me.png_, me.info_);
          const png_uint_32 rows = png_get_image_height(me.png_, me.info_);
          for (int pass = 0; pass < passes; ++pass) {
            for (png_uint_32 row = 0; row < rows; ++row) {
              png_read_row(me.png_, pixels + row * row_bytes, nullptr);
            }
          }
          png_read_end(me.png_, nullptr);
        },
        out);
  }

 private:
  static constexpr int kDeepBits = 16;

  static void leave(png_structp png, png_const_charp message) {
    auto* me = static_cast<PngReader*>(png_get_error_ptr(png));
    std::snprintf(me->message_.data(), me->message_.size(), "%s", message);
    std::longjmp(me->jump_, 1);
  }
  static void ignore(png_structp, png_const_charp) {}
  static void read(png_structp png, png_bytep out, std::size_t count) {
    auto* me = static_cast<PngReader*>(png_get_io_ptr(png));
    if (count > me->rest_.size()) png_error(png, "the file is truncated");
    std::copy_n(reinterpret_cast<const png_byte*>(me->rest_.data()), count, out);
    me->rest_ = me->rest_.subspan(count);
  }

  using Work = void (*)(PngReader&, std::uint8_t*);
  void guarded(Work work, std::uint8_t* pixels) {
    if (setjmp(jump_) != 0) {  // NOLINT(modernize-avoid-setjmp-longjmp,cert-err52-cpp)
      // A constructor that throws runs no destructor.
      const std::string message = message_.data();
      png_destroy_read_struct(&png_, &info_, nullptr);
      fail("damaged PNG: {}", message);
    }
    work(*this, pixels);
  }

  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  std::span<const std::byte> rest_;
  std::jmp_buf jump_{};
  std::array<char, 128> message_{};
};

/// Returns the orientation that an eXIf chunk records, or else a chunk of XMP, before or after the
/// pixels; 1 without one.
int orientation_of(std::span<const std::byte> file) {
  constexpr std::size_t kSignatureBytes = 8, kLengthBytes = 4, kTypeBytes = 4, kChecksumBytes = 4;
  constexpr std::size_t kFrameBytes = kLengthBytes + kTypeBytes + kChecksumBytes;
  constexpr std::string_view kExif = "eXIf";
  constexpr std::string_view kXmp{"iTXtXML:com.adobe.xmp\0\0", 23};  // uncompressed
  Orientations found;
  const std::span bytes(reinterpret_cast<const std::uint8_t*>(file.data()), file.size());
  for (std::size_t at = kSignatureBytes; at + kFrameBytes <= bytes.size();) {
    const std::size_t length = png_get_uint_32(&bytes[at]);
    if (length > bytes.size() - at - kFrameBytes) break;
    const std::span chunk = bytes.subspan(at + kLengthBytes, kTypeBytes + length);
    if (!found.exif && begins_with(chunk, kExif)) {
      found.exif = tiff_orientation(chunk.subspan(kTypeBytes));
    }
    if (!found.xmp && begins_with(chunk, kXmp)) found.xmp = xmp_orientation(chunk);
    at += kFrameBytes + length;
  }
  return found.chosen();
}

/// Keeps the upper 8 bits of 16-bit samples and returns the range of their values.
DecodingNotes::Range narrow(const std::vector<std::uint8_t>& deep,
                            std::vector<std::uint8_t>& pixels) {
  constexpr unsigned kByteBits = 8;
  DecodingNotes::Range range{UINT16_MAX, 0};
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    const unsigned upper = deep[2 * i];
    const int value = static_cast<int>(upper << kByteBits | deep[2 * i + 1]);
    range = {std::min(range.low, value), std::max(range.high, value)};
    pixels[i] = deep[2 * i];
  }
  return range;
}

}  // namespace

ImageHeader read_png_header(std::span<const std::byte> file) {
  const PngReader png(file);
  png.require_plausible(file.size());
  const bool swapped = swaps_sides(orientation_of(file));
  return {ImageFormat::png, swapped ? png.width() : png.height(),
          swapped ? png.height() : png.width()};
}

DecodingNotes decode_png(std::span<const std::byte> file, Image& out) {
  PngReader png(file);
  png.require_plausible(file.size());
  out.height = png.height();
  out.width = png.width();
  out.pixels.resize(static_cast<std::size_t>(out.height) * static_cast<std::size_t>(out.width) * 3);
  DecodingNotes notes;
  if (png.is_deep()) {
    std::vector<std::uint8_t> deep(2 * out.pixels.size());
    png.read_pixels(deep.data());
    notes.deep_range = narrow(deep, out.pixels);
  } else {
    png.read_pixels(out.pixels.data());
  }
  make_upright(out, orientation_of(file));
  return notes;
}

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
