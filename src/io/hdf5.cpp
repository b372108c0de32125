#include "hdf5.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <functional>

#include "simclr/core/check.hpp"
#include "simclr/core/checked.hpp"
#include "simclr/core/log.hpp"
#include "simclr/io/retry.hpp"

namespace simclr::h5 {
namespace {

/// Stops HDF5 from printing its error stack: the exception carries the message.
void silence_error_stack() {
  static const herr_t silenced = H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  if (silenced < 0) fail("cannot switch off HDF5's error printing");
}

/// Returns the innermost entry of the error stack, which names the cause, and clears the stack.
std::string last_message() {
  std::string message = "HDF5 gives no reason";
  const auto innermost = [](unsigned, const H5E_error2_t* entry, void* text) -> herr_t {
    *static_cast<std::string*>(text) = entry->desc != nullptr ? entry->desc : "no description";
    return 1;  // stop after the first
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, innermost, &message);
  H5Eclear2(H5E_DEFAULT);
  return message;
}

/// Extracts the errno from a message of HDF5's file drivers; 0 when it has none.
int error_number_in(const std::string& message) {
  constexpr std::string_view kKey = "errno = ";
  const std::size_t at = message.find(kKey);
  return at == std::string::npos ? 0 : std::atoi(message.c_str() + at + kKey.size());
}

[[noreturn]] void fail_with(std::string_view what, const std::string& message) {
  if (const int number = error_number_in(message); number != 0) {
    fail_io(what, number);  // shorter than HDF5's own message
  }
  fail("{}: {}", what, message);
}

[[noreturn]] void fail_with_last_message(std::string_view what) { fail_with(what, last_message()); }

/// Fails with "'images' WHAT", the dataset's name in its file.
[[noreturn]] void fail_on(const Handle& dataset, std::string_view what) {
  const std::string message = last_message();  // before the next call, which forgets it
  std::array<char, 256> name{};
  H5Iget_name(dataset.get(), name.data(), name.size());
  const std::string_view path = name.data();
  fail_with(fmt::format("'{}' {}", path.substr(path.starts_with('/') ? 1 : 0), what), message);
}

/// Returns the last HDF5 message, for a refusal; throws IoError instead when the error is
/// transient, so that the caller retries.
std::string permanent_error_message(const std::filesystem::path& path) {
  std::string message = last_message();
  if (const int number = error_number_in(message); is_transient(number)) {
    fail_io(path.string() + ": cannot be read", number);
  }
  return message;
}

Handle file_access() {
  Handle access = own(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "HDF5 file access list");
  check(H5Pset_file_locking(access.get(), false, true), "HDF5 file locking off");
  check(H5Pset_fclose_degree(access.get(), H5F_CLOSE_SEMI), "HDF5 close degree");
  return access;
}

void for_rows(const Handle& dataset, const Extents& leading, hsize_t count,
              const std::function<void(hid_t memory, hid_t file)>& transfer) {
  const Handle file = own(H5Dget_space(dataset.get()), H5Sclose, "HDF5 dataspace");
  const Extents extents = extents_of(dataset);
  require(!leading.empty() && leading.size() <= extents.size(),
          "the number of coordinates must be from 1 to the dataset's rank");
  Extents start(extents.size(), 0);
  Extents size = extents;
  for (std::size_t d = 0; d < leading.size(); ++d) {
    start[d] = leading[d];
    size[d] = d + 1 < leading.size() ? 1 : count;
    require(start[d] + size[d] <= extents[d], "rows must lie inside the dataset");
  }
  check(
      H5Sselect_hyperslab(file.get(), H5S_SELECT_SET, start.data(), nullptr, size.data(), nullptr),
      "HDF5 row selection");
  const Handle memory = own(H5Screate_simple(static_cast<int>(size.size()), size.data(), nullptr),
                            H5Sclose, "HDF5 dataspace");
  transfer(memory.get(), file.get());
}

Handle text_type() {
  Handle type = own(H5Tcopy(H5T_C_S1), H5Tclose, "HDF5 string type");
  check(H5Tset_size(type.get(), H5T_VARIABLE), "HDF5 string type");
  check(H5Tset_cset(type.get(), H5T_CSET_UTF8), "HDF5 string type");
  return type;
}

void write_attribute(const Handle& object, const std::string& name, hid_t type, const Handle& space,
                     const void* data) {
  const std::string what = "attribute '" + name + "' cannot be written";
  const Handle attribute =
      own(H5Acreate2(object.get(), name.c_str(), type, space.get(), H5P_DEFAULT, H5P_DEFAULT),
          H5Aclose, what);
  check(H5Awrite(attribute.get(), type, data), what);
}

Handle scalar_space() { return own(H5Screate(H5S_SCALAR), H5Sclose, "HDF5 dataspace"); }

Handle vector_space(std::size_t count) {
  const hsize_t extent = count;
  return own(H5Screate_simple(1, &extent, nullptr), H5Sclose, "HDF5 dataspace");
}

/// The most numbers that are read of an attribute.
constexpr std::uint64_t kMostWords = std::uint64_t{1} << 20;

/// An attribute open for reading; `handle` is empty when the object has no such attribute.
struct OpenAttribute {
  OpenAttribute(const Handle& object, const std::string& name) : what("attribute '" + name + "'") {
    if (H5Aexists(object.get(), name.c_str()) <= 0) return;
    handle = own(H5Aopen(object.get(), name.c_str(), H5P_DEFAULT), H5Aclose, what);
    space = own(H5Aget_space(handle.get()), H5Sclose, what);
    type = own(H5Aget_type(handle.get()), H5Tclose, what);
    count =
        static_cast<std::size_t>(std::max<hssize_t>(0, H5Sget_simple_extent_npoints(space.get())));
  }
  [[nodiscard]] bool holds_integers() const {
    if (!handle || count == 0 || H5Tget_class(type.get()) != H5T_INTEGER) return false;
    if (count > kMostWords)
      fail("{} holds {} numbers; at most {} are read", what, count, kMostWords);
    return true;
  }
  void require_short(std::optional<std::uint64_t> bytes) const {
    if (bytes && *bytes <= kMostTextBytes) return;
    fail("{} holds more than {} bytes of text", what, kMostTextBytes);
  }

  std::string what;
  Handle handle, space, type;
  std::size_t count = 0;
};

std::vector<std::string> read_variable_texts(const OpenAttribute& attribute) {
  if (attribute.count > kMostTexts) {
    fail("{} holds {} texts; at most {} are read", attribute.what, attribute.count, kMostTexts);
  }
  std::vector<char*> texts(attribute.count, nullptr);
  // Reads in the attribute's own character set, because HDF5 does not convert between them.
  check(H5Aread(attribute.handle.get(), attribute.type.get(), texts.data()), attribute.what);
  std::vector<std::string> result;
  result.reserve(texts.size());
  std::uint64_t bytes = 0;
  for (const char* text : texts) {
    bytes += text != nullptr ? std::strlen(text) : 0;
    attribute.require_short(bytes);
    result.emplace_back(text != nullptr ? text : "");
  }
  check(H5Dvlen_reclaim(attribute.type.get(), attribute.space.get(), H5P_DEFAULT, texts.data()),
        attribute.what);
  return result;
}

std::vector<std::string> read_fixed_texts(const OpenAttribute& attribute) {
  const std::size_t length = H5Tget_size(attribute.type.get());
  const auto total = checked_product(std::array{attribute.count, length});
  attribute.require_short(total);
  std::vector<char> bytes(*total);
  check(H5Aread(attribute.handle.get(), attribute.type.get(), bytes.data()), attribute.what);
  std::vector<std::string> result;
  result.reserve(attribute.count);
  for (std::size_t i = 0; i < attribute.count; ++i) {
    const char* text = bytes.data() + i * length;
    result.emplace_back(text, ::strnlen(text, length));
  }
  return result;
}

}  // namespace

std::unique_lock<std::recursive_mutex> lock_library() {
  static std::recursive_mutex mutex;
  return std::unique_lock(mutex);
}

// ---- handles ----

Handle& Handle::operator=(Handle&& other) noexcept {
  if (this != &other) {
    reset();
    id_ = std::exchange(other.id_, H5I_INVALID_HID);
    close_ = other.close_;
  }
  return *this;
}

void Handle::reset() noexcept {
  if (id_ < 0) return;
  const auto lock = lock_library();
  if (close_(std::exchange(id_, H5I_INVALID_HID)) < 0) {
    log::warning("HDF5 could not close an object: {}", last_message());
  }
}

void Handle::close(std::string_view what) {
  if (id_ < 0) return;
  const auto lock = lock_library();
  check(close_(std::exchange(id_, H5I_INVALID_HID)), what);
}

void check(herr_t status, std::string_view what) {
  if (status < 0) fail_with_last_message(what);
}

Handle own(hid_t id, Handle::Close closer, std::string_view what) {
  if (id < 0) fail_with_last_message(what);
  return {id, closer};
}

// ---- files ----

Handle open_file(const std::filesystem::path& path) {
  const auto lock = lock_library();
  silence_error_stack();
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {
    if (is_transient(error.value())) fail_io(path.string(), error.value());
    if (error) refuse_unreadable(path, error.value());
    refuse("{}: is not a plain file", path.string());
  }
  if (::access(path.c_str(), R_OK) != 0 && errno == EACCES) refuse_unreadable(path, errno);
  const Handle access = file_access();
  const hid_t id = H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get());
  if (id >= 0) return {id, H5Fclose};
  const std::string reason = permanent_error_message(path);
  if (H5Fis_hdf5(path.c_str()) <= 0) {
    permanent_error_message(path);
    refuse("{}: is not an HDF5 file (or unreadable, or truncated); check where it came from",
           path.string());
  }
  refuse("{}: HDF5 cannot open it: {}; copy or make it again", path.string(), reason);
}

// ---- datasets ----

bool has_link(const Handle& location, const std::string& name) {
  const auto lock = lock_library();
  return H5Lexists(location.get(), name.c_str(), H5P_DEFAULT) > 0;
}

Handle open_dataset(const Handle& location, const std::string& name) {
  const auto lock = lock_library();
  return own(H5Dopen2(location.get(), name.c_str(), H5P_DEFAULT), H5Dclose,
             "dataset '" + name + "' cannot be opened");
}

Handle create_dataset(const Handle& location, const std::string& name, hid_t type,
                      const Extents& extents) {
  const auto lock = lock_library();
  const std::string what = "dataset '" + name + "' cannot be created";
  const Handle links = own(H5Pcreate(H5P_LINK_CREATE), H5Pclose, what);
  check(H5Pset_create_intermediate_group(links.get(), 1), what);
  const Handle creation = own(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, what);
  check(H5Pset_layout(creation.get(), H5D_CONTIGUOUS), what);
  check(H5Pset_fill_time(creation.get(), H5D_FILL_TIME_NEVER), what);
  check(H5Pset_alloc_time(creation.get(), H5D_ALLOC_TIME_EARLY), what);
  check(H5Pset_obj_track_times(creation.get(), false), what);
  const Handle space = own(
      H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr), H5Sclose, what);
  return own(H5Dcreate2(location.get(), name.c_str(), type, space.get(), links.get(),
                        creation.get(), H5P_DEFAULT),
             H5Dclose, what);
}

Extents extents_of(const Handle& dataset) {
  const auto lock = lock_library();
  const Handle space = own(H5Dget_space(dataset.get()), H5Sclose, "HDF5 dataspace");
  const int rank = H5Sget_simple_extent_ndims(space.get());
  check(rank, "HDF5 dataspace rank");
  Extents extents(static_cast<std::size_t>(rank));
  check(H5Sget_simple_extent_dims(space.get(), extents.data(), nullptr), "HDF5 dataspace extents");
  return extents;
}

void read_rows(const Handle& dataset, hid_t type, hsize_t first, hsize_t count, void* out,
               hid_t transfer) {
  const auto lock = lock_library();
  for_rows(dataset, {first}, count, [&](hid_t memory, hid_t file) {
    if (H5Dread(dataset.get(), type, memory, file, transfer, out) < 0) {
      fail_on(dataset, "cannot be read");
    }
  });
}

void write_rows(const Handle& dataset, hid_t type, const Extents& leading, hsize_t count,
                const void* data) {
  if (count == 0) return;
  const auto lock = lock_library();
  for_rows(dataset, leading, count, [&](hid_t memory, hid_t file) {
    if (H5Dwrite(dataset.get(), type, memory, file, H5P_DEFAULT, data) < 0) {
      fail_on(dataset, "cannot be written");
    }
  });
}

// ---- attributes ----

void write_attribute(const Handle& object, const std::string& name, const std::string& text) {
  const auto lock = lock_library();
  const char* pointer = text.c_str();
  write_attribute(object, name, text_type().get(), scalar_space(), &pointer);
}

void write_attribute(const Handle& object, const std::string& name,
                     const std::vector<std::string>& texts) {
  const auto lock = lock_library();
  std::vector<const char*> pointers;
  pointers.reserve(texts.size());
  for (const std::string& text : texts) pointers.push_back(text.c_str());
  write_attribute(object, name, text_type().get(), vector_space(texts.size()), pointers.data());
}

void write_attribute(const Handle& object, const std::string& name, std::int64_t value) {
  const auto lock = lock_library();
  write_attribute(object, name, H5T_NATIVE_INT64, scalar_space(), &value);
}

void write_attribute(const Handle& object, const std::string& name,
                     std::span<const std::uint64_t> values) {
  const auto lock = lock_library();
  write_attribute(object, name, H5T_NATIVE_UINT64, vector_space(values.size()), values.data());
}

std::vector<std::string> read_texts(const Handle& object, const std::string& name) {
  const auto lock = lock_library();
  const OpenAttribute attribute(object, name);
  if (!attribute.handle || attribute.count == 0) return {};
  if (H5Tget_class(attribute.type.get()) != H5T_STRING) return {};
  return H5Tis_variable_str(attribute.type.get()) > 0 ? read_variable_texts(attribute)
                                                      : read_fixed_texts(attribute);
}

std::optional<std::string> read_text(const Handle& object, const std::string& name) {
  std::vector<std::string> texts = read_texts(object, name);
  if (texts.size() != 1) return std::nullopt;
  return std::move(texts.front());
}

std::optional<std::int64_t> read_integer(const Handle& object, const std::string& name) {
  const auto lock = lock_library();
  const OpenAttribute attribute(object, name);
  if (!attribute.holds_integers() || attribute.count != 1) return std::nullopt;
  std::int64_t value = 0;
  check(H5Aread(attribute.handle.get(), H5T_NATIVE_INT64, &value), attribute.what);
  return value;
}

std::vector<std::uint64_t> read_words(const Handle& object, const std::string& name) {
  const auto lock = lock_library();
  const OpenAttribute attribute(object, name);
  if (!attribute.holds_integers()) return {};
  std::vector<std::uint64_t> values(attribute.count);
  check(H5Aread(attribute.handle.get(), H5T_NATIVE_UINT64, values.data()), attribute.what);
  return values;
}

}  // namespace simclr::h5
