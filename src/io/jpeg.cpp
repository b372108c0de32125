// libjpeg-turbo reports errors by a long jump, which runs no destructors: no object with one may be
// created between setjmp and the calls.

#include <cstddef>
#include <cstdio>
// clang-format off
#include <jpeglib.h>  // needs <cstdio>
#include <jerror.h>
// clang-format on

#include <array>
#include <csetjmp>
#include <cstdlib>
#include <string>

#include "image_codecs.hpp"
#include "simclr/core/check.hpp"

namespace simclr {
namespace {

struct ErrorManager {
  jpeg_error_mgr base{};
  std::jmp_buf jump{};
  std::array<char, JMSG_LENGTH_MAX> message{};
  std::array<char, JMSG_LENGTH_MAX> warning{};  ///< the first one that is no error
  bool invented_pixels = false;
};

ErrorManager& manager_of(j_common_ptr info) { return *reinterpret_cast<ErrorManager*>(info->err); }

void leave(j_common_ptr info) {
  ErrorManager& manager = manager_of(info);
  info->err->format_message(info, manager.message.data());
  std::longjmp(manager.jump, 1);
}

/// Turns the warnings about truncated files and corrupt data into errors; libjpeg would go on with
/// invented pixels. Keeps the first of the other warnings: data sets that were packed with them
/// must stay readable.
void take_warning(j_common_ptr info, int level) {
  if (level >= 0) return;
  const int code = info->err->msg_code;
  if (code == JWRN_JPEG_EOF || code == JWRN_HUFF_BAD_CODE) leave(info);
  ErrorManager& manager = manager_of(info);
  const bool invents =
      code == JWRN_HIT_MARKER || code == JWRN_MUST_RESYNC || code == JWRN_ARITH_BAD_CODE;
  // What tells of invented pixels matters more than what came before it.
  if (manager.warning[0] == '\0' || (invents && !manager.invented_pixels)) {
    info->err->format_message(info, manager.warning.data());
  }
  manager.invented_pixels = manager.invented_pixels || invents;
}

/// Ends the decoding of a progressive file with absurdly many passes, each of which may cost
/// seconds and take a few bytes. Encoders write about ten.
void limit_passes(j_common_ptr info) {
  constexpr int kMostPasses = 500;
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number <= kMostPasses) return;
  ErrorManager& manager = manager_of(info);
  std::snprintf(manager.message.data(), manager.message.size(), "it has more than %d passes",
                kMostPasses);
  std::longjmp(manager.jump, 1);
}

void install(ErrorManager& errors) {
  jpeg_std_error(&errors.base);
  errors.base.error_exit = leave;
  errors.base.emit_message = take_warning;
}

/// A decompressor that has read its header. It is destroyed with the object, also after a jump.
class Decompressor {
 public:
  explicit Decompressor(std::span<const std::byte> file) {
    info_.err = &errors_.base;
    install(errors_);
    jpeg_create_decompress(&info_);
    progress_.progress_monitor = limit_passes;
    info_.progress = &progress_;
    guarded(
        [](Decompressor& me, std::span<const std::byte> bytes, std::uint8_t*) {
          jpeg_save_markers(&me.info_, JPEG_APP0 + 1, 0xFFFF);
          jpeg_mem_src(&me.info_, reinterpret_cast<const unsigned char*>(bytes.data()),
                       bytes.size());
          jpeg_read_header(&me.info_, TRUE);
        },
        file, nullptr);
    orientation_ = find_orientation();
  }
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;
  ~Decompressor() { jpeg_destroy_decompress(&info_); }

  [[nodiscard]] int height() const { return static_cast<int>(info_.image_height); }
  [[nodiscard]] int width() const { return static_cast<int>(info_.image_width); }
  [[nodiscard]] bool is_cmyk() const {
    return info_.jpeg_color_space == JCS_CMYK || info_.jpeg_color_space == JCS_YCCK;
  }
  /// Adobe's programs store CMYK inverted.
  [[nodiscard]] bool is_adobe() const { return info_.saw_Adobe_marker != 0; }
  [[nodiscard]] int orientation() const { return orientation_; }
  [[nodiscard]] DecodingNotes notes() const {
    return {.warning = errors_.warning.data(), .invented_pixels = errors_.invented_pixels};
  }

  /// Throws Error when the header promises more than a file of this length can hold.
  void require_plausible(std::size_t file_bytes) const {
    require_plausible_size(height(), width());
    // A block of 8 x 8 samples takes at least one bit with Huffman codes; arithmetic codes may take
    // less.
    constexpr std::size_t kBitsPerByte = 8;
    std::size_t blocks = 0;
    for (int c = 0; c < info_.num_components; ++c) {
      blocks +=
          std::size_t{info_.comp_info[c].width_in_blocks} * info_.comp_info[c].height_in_blocks;
    }
    if (info_.arith_code == FALSE && blocks / kBitsPerByte > file_bytes) {
      fail("damaged JPEG: {} x {} pixels cannot be in {} bytes", width(), height(), file_bytes);
    }
  }

  /// Reads all rows; `out` has room for height * width * (4 for CMYK, else 3) bytes.
  void read_pixels(std::uint8_t* out) {
    guarded(
        [](Decompressor& me, std::span<const std::byte>, std::uint8_t* pixels) {
          me.info_.out_color_space = me.is_cmyk() ? JCS_CMYK : JCS_RGB;
          jpeg_start_decompress(&me.info_);
          const std::size_t row_bytes = std::size_t{me.info_.output_width} *
                                        static_cast<std::size_t>(me.info_.output_components);
          while (me.info_.output_scanline < me.info_.output_height) {
            JSAMPROW row = pixels + me.info_.output_scanline * row_bytes;
            jpeg_read_scanlines(&me.info_, &row, 1);
          }
          jpeg_finish_decompress(&me.info_);
        },
        {}, out);
  }

 private:
  /// Must run before the pixels are read, after which libjpeg has freed the markers.
  [[nodiscard]] int find_orientation() const {
    constexpr std::string_view kXmp{"http://ns.adobe.com/xap/1.0/\0", 29};
    Orientations found;
    for (const auto* marker = info_.marker_list; marker != nullptr; marker = marker->next) {
      const std::span<const std::uint8_t> data(marker->data, marker->data_length);
      if (!found.exif) found.exif = exif_orientation(data);
      if (!found.xmp && begins_with(data, kXmp)) found.xmp = xmp_orientation(data);
    }
    return found.chosen();
  }

  using Work = void (*)(Decompressor&, std::span<const std::byte>, std::uint8_t*);
  void guarded(Work work, std::span<const std::byte> file, std::uint8_t* pixels) {
    if (setjmp(errors_.jump) != 0) {  // NOLINT(modernize-avoid-setjmp-longjmp,cert-err52-cpp)
      const std::string message = errors_.message.data();
      jpeg_destroy_decompress(&info_);  // a constructor that throws runs no destructor
      fail("damaged JPEG: {}", message);
    }
    work(*this, file, pixels);
  }

  ErrorManager errors_;
  jpeg_progress_mgr progress_{};
  jpeg_decompress_struct info_{};
  int orientation_ = 1;
};

/// Multiplies each ink with black, as most programs convert CMYK without color profiles.
void cmyk_to_rgb(const std::vector<std::uint8_t>& cmyk, bool inverted, std::uint8_t* rgb) {
  const auto light = [inverted](std::uint8_t ink) {
    return static_cast<unsigned>(inverted ? ink : 255 - ink);
  };
  for (std::size_t i = 0; i + 3 < cmyk.size(); i += 4) {
    for (std::size_t c = 0; c < 3; ++c) {
      *rgb++ = static_cast<std::uint8_t>((light(cmyk[i + c]) * light(cmyk[i + 3]) + 127) / 255);
    }
  }
}

}  // namespace

ImageHeader read_jpeg_header(std::span<const std::byte> file) {
  const Decompressor jpeg(file);
  jpeg.require_plausible(file.size());
  const bool swapped = swaps_sides(jpeg.orientation());
  return {ImageFormat::jpeg, swapped ? jpeg.width() : jpeg.height(),
          swapped ? jpeg.height() : jpeg.width()};
}

DecodingNotes decode_jpeg(std::span<const std::byte> file, Image& out) {
  Decompressor jpeg(file);
  jpeg.require_plausible(file.size());
  out.height = jpeg.height();
  out.width = jpeg.width();
  const std::size_t pixels =
      static_cast<std::size_t>(out.height) * static_cast<std::size_t>(out.width);
  out.pixels.resize(3 * pixels);
  if (jpeg.is_cmyk()) {
    std::vector<std::uint8_t> cmyk(4 * pixels);
    jpeg.read_pixels(cmyk.data());
    cmyk_to_rgb(cmyk, jpeg.is_adobe(), out.pixels.data());
  } else {
    jpeg.read_pixels(out.pixels.data());
  }
  make_upright(out, jpeg.orientation());
  return jpeg.notes();
}

namespace {

/// Compresses into memory that libjpeg allocates with malloc. Returns false on failure and leaves
/// the message in `errors`.
bool compress(jpeg_compress_struct& info, ErrorManager& errors, const Image& image, int quality,
              unsigned char** bytes, unsigned long* count) {
  if (setjmp(errors.jump) != 0)
    return false;  // NOLINT(modernize-avoid-setjmp-longjmp,cert-err52-cpp)
  jpeg_mem_dest(&info, bytes, count);
  info.image_height = static_cast<JDIMENSION>(image.height);
  info.image_width = static_cast<JDIMENSION>(image.width);
  info.input_components = 3;
  info.in_color_space = JCS_RGB;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, quality, TRUE);
  info.comp_info[0].h_samp_factor = 1;
  info.comp_info[0].v_samp_factor = 1;
  jpeg_start_compress(&info, TRUE);
  const std::size_t row_bytes = static_cast<std::size_t>(image.width) * 3;
  while (info.next_scanline < info.image_height) {
    auto* row = const_cast<JSAMPROW>(image.pixels.data() + info.next_scanline * row_bytes);
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  return true;
}

}  // namespace

std::vector<std::byte> encode_jpeg(const Image& image, int quality) {
  ErrorManager errors;
  jpeg_compress_struct info{};
  info.err = &errors.base;
  install(errors);
  jpeg_create_compress(&info);
  unsigned char* bytes = nullptr;
  unsigned long count = 0;
  const bool done = compress(info, errors, image, quality, &bytes, &count);
  jpeg_destroy_compress(&info);
  std::vector<std::byte> result;
  if (done) {
    const auto* begin = reinterpret_cast<const std::byte*>(bytes);
    result.assign(begin, begin + count);
  }
  std::free(bytes);
  if (!done) fail("cannot encode as JPEG: {}", errors.message.data());
  return result;
}

}  // namespace simclr
