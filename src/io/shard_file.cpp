#include "shard_file.hpp"

#include <fmt/ranges.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>
#include <limits>
#include <utility>

#include "simclr/core/check.hpp"
#include "simclr/core/checked.hpp"
#include "simclr/core/hash.hpp"
#include "simclr/core/log.hpp"
#include "simclr/io/first_look.hpp"
#include "simclr/io/image_file.hpp"
#include "simclr/io/retry.hpp"

namespace simclr {
namespace {

/// Reads and checks the description of one file; every refusal names it.
class Describer {
 public:
  explicit Describer(const std::filesystem::path& path) : file_(h5::open_file(path)) {
    shard_.path = path;
    shard_.state = file_state(path);
  }

  ShardDescription describe() {
    read_identity();
    if (h5::has_link(file_, "images")) {
      read_fixed_size();
    } else if (h5::has_link(file_, "bytes")) {
      read_variable_size();
    } else {
      refuse(
          "{}: holds neither 'images' nor 'bytes'; a shard has images uint8 (N,H,W,3), or bytes, "
          "offsets and sizes",
          shard_.path.string());
    }
    read_labels();
    find_names();
    return std::move(shard_);
  }

  SampleNames names() {
    const auto bytes = h5::read_dataset<std::uint8_t>(open_bytes("names"));
    return {std::string(bytes.begin(), bytes.end()),
            read_offsets("name_offsets", "names", bytes.size())};
  }

 private:
  template <class... Args>
  [[noreturn]] void reject(fmt::format_string<Args...> format, Args&&... args) const {
    refuse("{}: {}", shard_.path.string(), fmt::format(format, std::forward<Args>(args)...));
  }

  void read_identity() {
    const std::string format = h5::read_text(file_, "format").value_or("");
    if (format.starts_with("simclr-") && format != ShardFormat::kFormat) {
      reject("its format is '{}', not '{}': this is not a shard", format, ShardFormat::kFormat);
    }
    const auto version = h5::read_integer(file_, "version");
    if (format == ShardFormat::kFormat && version && *version > ShardFormat::kVersion) {
      reject("shard version {} is newer than this program reads ({}); update the program", *version,
             ShardFormat::kVersion);
    }
    shard_.name = h5::read_text(file_, "name").value_or("");
    shard_.class_names = h5::read_texts(file_, "class_names");
  }

  h5::Handle open_bytes(const char* name) {
    h5::Handle dataset = h5::open_plain_dataset(file_, shard_.path, name);
    const h5::Handle type = h5::own(H5Dget_type(dataset.get()), H5Tclose, "HDF5 datatype");
    if (H5Tget_class(type.get()) != H5T_INTEGER || H5Tget_size(type.get()) != 1 ||
        H5Tget_sign(type.get()) != H5T_SGN_NONE) {
      reject("'{}' is not uint8; store {} 0..255", name,
             name == std::string_view("names") ? "the names' bytes as numbers" : "pixels as bytes");
    }
    return dataset;
  }

  h5::Handle open_integers(const char* name) {
    if (!h5::has_link(file_, name)) {
      reject(
          "has 'bytes' but no '{}'; encoded or variable-size images need offsets (N+1) and "
          "sizes (N,2)",
          name);
    }
    h5::Handle dataset = h5::open_plain_dataset(file_, shard_.path, name);
    require_integers(dataset, name);
    return dataset;
  }

  void require_integers(const h5::Handle& dataset, const char* name) {
    const h5::Handle type = h5::own(H5Dget_type(dataset.get()), H5Tclose, "HDF5 datatype");
    // h5py stores bool as an enumeration.
    const H5T_class_t kind = H5Tget_class(type.get());
    if (kind != H5T_INTEGER && kind != H5T_ENUM) reject("'{}' does not hold integers", name);
  }

  void read_fixed_size() {
    const h5::Handle images = open_bytes("images");
    const h5::Extents extents = h5::extents_of(images);
    if (extents.size() != 4 || extents[3] != 3) {
      reject("'images' has shape ({}), not (N,H,W,3); store RGB, channels last",
             fmt::join(extents, ","));
    }
    if (extents[1] == 0 || extents[2] == 0) reject("the images in 'images' have no pixels");
    if (std::max(extents[1], extents[2]) > hsize_t{kLongestSide}) {
      reject("the images in 'images' have {} x {} pixels; at most {} per side are read", extents[1],
             extents[2], kLongestSide);
    }
    shard_.samples = static_cast<std::int64_t>(extents[0]);
    shard_.height = static_cast<int>(extents[1]);
    shard_.width = static_cast<int>(extents[2]);
    locate(images, extents[0] * extents[1] * extents[2] * 3);
    read_checksums(images);
  }

  void read_variable_size() {
    shard_.fixed_size = false;
    const h5::Handle bytes = open_bytes("bytes");
    const h5::Extents extents = h5::extents_of(bytes);
    if (extents.size() != 1) reject("'bytes' is not one-dimensional");
    shard_.offsets = read_offsets("offsets", "bytes", extents[0]);
    shard_.samples = std::ssize(shard_.offsets) - 1;
    read_sizes();
    read_encoding(bytes);
    if (shard_.encoding == ImageEncoding::raw) {
      const auto wrong = first_wrong_raw_length();
      if (wrong) reject("raw sample {} does not have 3*height*width bytes", *wrong);
    }
    locate(bytes, extents[0]);
    read_checksums(bytes);
  }

  void read_checksums(const h5::Handle& pixels) {
    const std::vector<std::uint64_t> words = h5::read_words(pixels, ShardFormat::kChecksum);
    const auto block = h5::read_integer(pixels, ShardFormat::kChecksumBlock);
    if (words.empty() || !block) return;
    shard_.checksums = {.block_samples = *block, .hash = hash64(std::as_bytes(std::span(words)))};
  }

  /// Reads where each sample's part of the dataset `of`, which has `total` bytes, begins, and where
  /// the last one ends.
  std::vector<std::uint64_t> read_offsets(const char* name, const char* of, std::uint64_t total) {
    const h5::Handle offsets = open_integers(name);
    const h5::Extents extents = h5::extents_of(offsets);
    if (extents.size() != 1 || extents[0] == 0) reject("'{}' is not of shape (N+1)", name);
    // HDF5 would read negative numbers as unsigned zeros.
    const auto read = h5::read_dataset<std::int64_t>(offsets);
    if (read.front() < 0) reject("'{}' begins with {}; the first byte is 0", name, read.front());
    if (!std::ranges::is_sorted(read) || static_cast<std::uint64_t>(read.back()) > total) {
      reject("'{}' must ascend and end within the {} bytes of '{}'", name, total, of);
    }
    return {read.begin(), read.end()};
  }

  void read_sizes() {
    const h5::Handle sizes = open_integers("sizes");
    const h5::Extents extents = h5::extents_of(sizes);
    if (extents.size() != 2 || extents[1] != 2 ||
        extents[0] != static_cast<hsize_t>(shard_.samples)) {
      reject("'sizes' has shape ({}), not (N,2) for the {} samples of 'offsets'",
             fmt::join(extents, ","), shard_.samples);
    }
    shard_.sizes = h5::read_dataset<std::int32_t>(sizes);
    for (std::size_t i = 0; i < shard_.sizes.size(); i += 2) {
      if (shard_.sizes[i] <= 0 || shard_.sizes[i + 1] <= 0) {
        reject("'sizes' says that sample {} has no pixels", i / 2);
      }
      if (std::max(shard_.sizes[i], shard_.sizes[i + 1]) > kLongestSide) {
        reject("'sizes' says that sample {} has {} x {} pixels; at most {} per side are read",
               i / 2, shard_.sizes[i], shard_.sizes[i + 1], kLongestSide);
      }
      shard_.height = std::max(shard_.height, shard_.sizes[i]);
      shard_.width = std::max(shard_.width, shard_.sizes[i + 1]);
    }
  }

  void read_encoding(const h5::Handle& bytes) {
    auto encoding = h5::read_text(file_, "encoding");
    if (!encoding) encoding = h5::read_text(bytes, "encoding");
    if (!encoding) {
      shard_.encoding = first_wrong_raw_length() ? ImageEncoding::jpeg : ImageEncoding::raw;
    } else if (*encoding == "raw" || *encoding == "jpeg") {
      shard_.encoding = *encoding == "raw" ? ImageEncoding::raw : ImageEncoding::jpeg;
    } else {
      reject("unknown encoding '{}'; known are raw and jpeg", *encoding);
    }
  }

  [[nodiscard]] std::optional<std::size_t> first_wrong_raw_length() const {
    for (std::size_t i = 0; i + 1 < shard_.offsets.size(); ++i) {
      const auto pixels = static_cast<std::uint64_t>(shard_.sizes[2 * i]) *
                          static_cast<std::uint64_t>(shard_.sizes[2 * i + 1]);
      if (shard_.offsets[i + 1] - shard_.offsets[i] != 3 * pixels) return i;
    }
    return std::nullopt;
  }

  /// Sets the file position of contiguous data and checks it against the length of the file. Warns
  /// about layouts that are slow to read.
  void locate(const h5::Handle& dataset, std::uint64_t bytes) {
    const h5::Handle creation =
        h5::own(H5Dget_create_plist(dataset.get()), H5Pclose, "HDF5 dataset creation list");
    const H5D_layout_t layout = H5Pget_layout(creation.get());
    if (layout == H5D_CHUNKED) warn_about_chunks(creation);
    const haddr_t offset = H5Dget_offset(dataset.get());
    const bool direct = layout == H5D_CONTIGUOUS && H5Pget_external_count(creation.get()) == 0;
    if (!direct || offset == HADDR_UNDEF) return;
    const std::uint64_t file_bytes = std::filesystem::file_size(shard_.path);
    if (!lies_within(offset, bytes, file_bytes)) {
      reject(
          "truncated: '{}' has {} bytes from byte {}, the file ends at {}; copy or make it again",
          shard_.pixels_name(), bytes, offset, file_bytes);
    }
    // Other integers of one byte have unused bits, which HDF5 removes.
    const h5::Handle type = h5::own(H5Dget_type(dataset.get()), H5Tclose, "HDF5 datatype");
    const bool whole_bytes = H5Tget_precision(type.get()) == 8 && H5Tget_offset(type.get()) == 0;
    if (whole_bytes) shard_.file_offset = offset;
  }

  void warn_about_chunks(const h5::Handle& creation) const {
    std::array<hsize_t, 4> chunk{};
    if (H5Pget_chunk(creation.get(), static_cast<int>(chunk.size()), chunk.data()) < 0) return;
    const bool many_images = !shard_.fixed_size || chunk[0] > 1;
    if (H5Pget_nfilters(creation.get()) > 0 && many_images) {
      log::warning(
          "{}: '{}' is compressed in chunks of several images; random reads decompress "
          "whole chunks and are hundreds of times slower (use --cache node, or pack it)",
          shard_.path.string(), shard_.pixels_name());
    }
  }

  void read_labels() {
    if (!h5::has_link(file_, "labels")) return;
    const h5::Handle labels = h5::open_plain_dataset(file_, shard_.path, "labels");
    require_integers(labels, "labels");
    const h5::Extents extents = h5::extents_of(labels);
    if (extents.size() == 2 && extents[1] > 1) {
      read_marks(labels, extents);
      return;
    }
    const bool one_column = extents.size() == 1 || (extents.size() == 2 && extents[1] == 1);
    if (!one_column || extents[0] != static_cast<hsize_t>(shard_.samples)) {
      reject("'labels' has shape ({}), not one label for each of the {} samples",
             fmt::join(extents, ","), shard_.samples);
    }
    shard_.labels = h5::read_dataset<std::int64_t>(labels);
    const auto& values = *shard_.labels;
    // HDF5 reads larger unsigned values as this one.
    constexpr auto kLargest = std::numeric_limits<std::int64_t>::max();
    if (std::ranges::find(values, kLargest) != values.end()) {
      reject("'labels' has values of {} or more; number the classes from 0", kLargest);
    }
  }

  /// Checks the kind and the shape of the names, but reads none: most commands need none.
  void find_names() {
    const bool bytes = h5::has_link(file_, "names");
    const bool offsets = h5::has_link(file_, "name_offsets");
    if (!bytes && !offsets) return;
    if (!bytes || !offsets) {
      log::warning(
          "{}: has '{}' but no '{}', and is read as a shard without names; names need both, uint8 "
          "bytes and N+1 offsets",
          shard_.path.string(), bytes ? "names" : "name_offsets", bytes ? "name_offsets" : "names");
      return;
    }
    if (h5::extents_of(open_bytes("names")).size() != 1) reject("'names' is not one-dimensional");
    const h5::Extents extents = h5::extents_of(open_integers("name_offsets"));
    if (extents.size() != 1 || extents[0] != static_cast<hsize_t>(shard_.samples) + 1) {
      reject("'name_offsets' has shape ({}), not (N+1) for the {} samples", fmt::join(extents, ","),
             shard_.samples);
    }
    shard_.named = true;
  }

  void read_marks(const h5::Handle& labels, const h5::Extents& extents) {
    if (extents[0] != static_cast<hsize_t>(shard_.samples)) {
      reject("'labels' has shape ({}), not one row for each of the {} samples",
             fmt::join(extents, ","), shard_.samples);
    }
    shard_.mark_columns = static_cast<std::int64_t>(extents[1]);
    if (!shard_.class_names.empty() && std::ssize(shard_.class_names) != shard_.mark_columns) {
      reject("'labels' has {} columns, one for each class, but there are {} class names",
             shard_.mark_columns, shard_.class_names.size());
    }
    for (const std::int64_t mark : h5::read_dataset<std::int64_t>(labels)) {
      if (mark != kAbsent && mark != kPresent && mark != kIgnored) {
        reject(
            "'labels' has {} columns and holds {}; several labels for each sample are 0, 1 or "
            "255 (ignored)",
            shard_.mark_columns, mark);
      }
      shard_.marks.push_back(static_cast<std::uint8_t>(mark));
    }
  }

  ShardDescription shard_;
  h5::Handle file_;
};

void look_at_shard(const std::filesystem::path& path) { Describer(path).describe(); }
void look_at_names(const std::filesystem::path& path) { Describer(path).names(); }

}  // namespace

FileState file_state(const std::filesystem::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) fail_io(path.string() + ": cannot be read", errno);
  return {status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
}

ShardDescription describe_shard(const std::filesystem::path& path) {
  return h5::refusing_damage(path, [&] {
    return with_retries(path, [&](int) {
      look_first(path, look_at_shard);
      const auto lock = h5::lock_library();
      return Describer(path).describe();
    });
  });
}

SampleNames read_shard_names(const ShardDescription& shard) {
  require_unchanged(shard);
  return h5::refusing_damage(shard.path, [&] {
    return with_retries(shard.path, [&](int) {
      look_first(shard.path, look_at_names);
      const auto lock = h5::lock_library();
      return Describer(shard.path).names();
    });
  });
}

void look_at_shards(const std::vector<std::filesystem::path>& paths, Communicator& node) {
  look_first_together(paths, look_at_shard, node);
}

}  // namespace simclr
