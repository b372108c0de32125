#pragma once
// HDF5 with handles that close themselves and errors of one line.
//
// Files from elsewhere are opened only after a first look (io/first_look.hpp).
//
// Debian's parallel HDF5 is not thread-safe: callers must hold `h5::lock_library()`. Every function
// below takes that recursive lock itself; code that calls H5* directly must take it.

#include <hdf5.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "simclr/core/check.hpp"
#include "simclr/core/checked.hpp"

namespace simclr::h5 {

/// The one lock of the HDF5 library in this process.
[[nodiscard]] std::unique_lock<std::recursive_mutex> lock_library();

/// Does `work` on a file. An error of HDF5 becomes a Failure that names the file and ends with
/// `advice`; other errors name their file already.
template <class Failure = Error, class Work>
auto naming_file(const std::filesystem::path& path, const Work& work, const char* advice = "") {
  try {
    return work();
  } catch (const RefusedError&) {
    throw;
  } catch (const IoError&) {
    throw;
  } catch (const DamagedError&) {
    throw;
  } catch (const Error& error) {
    throw Failure(fmt::format("{}: {}{}", path.string(), error.what(), advice), error.cause());
  }
}

/// Does `work` on a file that is there: what HDF5 cannot read of it is damaged.
template <class Work>
auto naming_damage(const std::filesystem::path& path, const Work& work) {
  return naming_file<DamagedError>(path, work, "; copy or make it again");
}

/// The same before any work: refuses the file.
template <class Work>
auto refusing_damage(const std::filesystem::path& path, const Work& work) {
  try {
    return naming_damage(path, work);
  } catch (const DamagedError& error) {
    refuse("{}", error.what());
  }
}

/// Owns one HDF5 identifier. The destructor only logs.
class Handle {
 public:
  using Close = herr_t (*)(hid_t);
  Handle() = default;
  Handle(hid_t id, Close closer) : id_(id), close_(closer) {}
  Handle(Handle&& other) noexcept
      : id_(std::exchange(other.id_, H5I_INVALID_HID)), close_(other.close_) {}
  Handle& operator=(Handle&& other) noexcept;
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() { reset(); }

  [[nodiscard]] hid_t get() const { return id_; }
  explicit operator bool() const { return id_ >= 0; }
  /// Closes now and throws Error on failure: a file's last write may happen on closing.
  void close(std::string_view what);

 private:
  void reset() noexcept;
  hid_t id_ = H5I_INVALID_HID;
  Close close_ = nullptr;
};

/// Throws Error "WHAT: <HDF5's innermost message>" when `status` is negative.
void check(herr_t status, std::string_view what);
/// Wraps an identifier that a call returned; throws as check() does when it is negative.
[[nodiscard]] Handle own(hid_t id, Handle::Close closer, std::string_view what);

// ---- files ----

/// Opens for reading, without file locking. Throws RefusedError for a file that is missing,
/// truncated or not HDF5.
Handle open_file(const std::filesystem::path& path);

// ---- datasets ----

/// HDF5's type of a C++ number.
template <class T>
hid_t native_type() {
  static_assert(std::is_same_v<T, float> || std::is_integral_v<T>);
  if constexpr (std::is_same_v<T, float>) return H5T_NATIVE_FLOAT;
  if constexpr (std::is_same_v<T, std::uint8_t>) return H5T_NATIVE_UINT8;
  if constexpr (std::is_same_v<T, std::int32_t>) return H5T_NATIVE_INT32;
  if constexpr (std::is_same_v<T, std::int64_t>) return H5T_NATIVE_INT64;
  if constexpr (std::is_same_v<T, std::uint64_t>) return H5T_NATIVE_UINT64;
}

using Extents = std::vector<hsize_t>;

[[nodiscard]] bool has_link(const Handle& location, const std::string& name);
Handle open_dataset(const Handle& location, const std::string& name);
/// Opens a dataset of a file from elsewhere, at `path`. Throws RefusedError that names the dataset
/// and the cause when its values are not all in this file or, for a virtual dataset, in plain files
/// of the same directory, when some were never written, or when it needs a missing filter.
Handle open_plain_dataset(const Handle& file, const std::filesystem::path& path,
                          const std::string& name);
/// Creates a contiguous dataset without fill value, and missing groups on its path.
Handle create_dataset(const Handle& location, const std::string& name, hid_t type,
                      const Extents& extents);
[[nodiscard]] Extents extents_of(const Handle& dataset);

/// Reads rows [first, first + count) of the leading dimension, converted to `type`.
void read_rows(const Handle& dataset, hid_t type, hsize_t first, hsize_t count, void* out,
               hid_t transfer = H5P_DEFAULT);
/// Writes `count` rows of the sub-array selected by all but the last coordinate, starting at row
/// leading.back().
void write_rows(const Handle& dataset, hid_t type, const Extents& leading, hsize_t count,
                const void* data);

template <class T>
Handle write_dataset(const Handle& location, const std::string& name, std::span<const T> values,
                     Extents extents = {}) {
  if (extents.empty()) extents = {values.size()};
  Handle dataset = create_dataset(location, name, native_type<T>(), extents);
  write_rows(dataset, native_type<T>(), {0}, extents[0], values.data());
  return dataset;
}
template <class T>
std::vector<T> read_dataset(const Handle& dataset) {
  const Extents extents = extents_of(dataset);
  if (extents.empty()) fail("a dataset holds one value, not an array");
  const auto elements = checked_product(extents, std::numeric_limits<std::ptrdiff_t>::max());
  if (!elements) fail("a dataset has an impossible shape");
  std::vector<T> values(*elements);
  if (!values.empty()) read_rows(dataset, native_type<T>(), 0, extents[0], values.data());
  return values;
}
template <class T>
std::vector<T> read_dataset(const Handle& location, const std::string& name) {
  return read_dataset<T>(open_dataset(location, name));
}

// ---- attributes ----

/// The most texts, and bytes of all of them, that are read of an attribute: the names of 65,000
/// classes with 255 bytes each.
inline constexpr std::uint64_t kMostTexts = std::uint64_t{1} << 20;
inline constexpr std::uint64_t kMostTextBytes = std::uint64_t{16} << 20;

/// Writes text as UTF-8 of variable length, like h5py. Reading accepts fixed length, too.
void write_attribute(const Handle& object, const std::string& name, const std::string& text);
void write_attribute(const Handle& object, const std::string& name,
                     const std::vector<std::string>& texts);
void write_attribute(const Handle& object, const std::string& name, std::int64_t value);
void write_attribute(const Handle& object, const std::string& name,
                     std::span<const std::uint64_t> values);
// Readers return an empty value when the attribute is missing or has another type or shape: files
// of other programs may use the same names. They throw Error when it holds more than 16 MiB of text
// or a million texts or numbers.
std::optional<std::string> read_text(const Handle& object, const std::string& name);
std::vector<std::string> read_texts(const Handle& object, const std::string& name);
std::optional<std::int64_t> read_integer(const Handle& object, const std::string& name);
std::vector<std::uint64_t> read_words(const Handle& object, const std::string& name);

}  // namespace simclr::h5
