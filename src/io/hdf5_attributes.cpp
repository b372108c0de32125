#include <algorithm>
#include <cstring>

#include "hdf5.hpp"
#include "simclr/core/check.hpp"

namespace simclr::h5 {
namespace {

Handle text_type() {
  Handle type = own(H5Tcopy(H5T_C_S1), H5Tclose, "HDF5 string type");
  check(H5Tset_size(type.get(), H5T_VARIABLE), "HDF5 string type");
  check(H5Tset_cset(type.get(), H5T_CSET_UTF8), "HDF5 string type");
  return type;
}

void write(const Handle& object, const std::string& name, hid_t type, const Handle& space,
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

/// An attribute open for reading; `handle` is empty when the object has no such attribute.
struct OpenAttribute {
  OpenAttribute(const Handle& object, const std::string& name) : what("attribute '" + name + "'") {
    if (!has_attribute(object, name)) return;
    handle = own(H5Aopen(object.get(), name.c_str(), H5P_DEFAULT), H5Aclose, what);
    space = own(H5Aget_space(handle.get()), H5Sclose, what);
    type = own(H5Aget_type(handle.get()), H5Tclose, what);
    count =
        static_cast<std::size_t>(std::max<hssize_t>(0, H5Sget_simple_extent_npoints(space.get())));
  }
  std::string what;
  Handle handle, space, type;
  std::size_t count = 0;
};

std::vector<std::string> read_variable_texts(const OpenAttribute& attribute) {
  std::vector<char*> texts(attribute.count, nullptr);
  // Reads in the attribute's own character set, because HDF5 does not convert between them.
  check(H5Aread(attribute.handle.get(), attribute.type.get(), texts.data()), attribute.what);
  std::vector<std::string> result;
  result.reserve(texts.size());
  for (const char* text : texts) result.emplace_back(text != nullptr ? text : "");
  check(H5Dvlen_reclaim(attribute.type.get(), attribute.space.get(), H5P_DEFAULT, texts.data()),
        attribute.what);
  return result;
}

std::vector<std::string> read_fixed_texts(const OpenAttribute& attribute) {
  const std::size_t length = H5Tget_size(attribute.type.get());
  std::vector<char> bytes(attribute.count * length);
  check(H5Aread(attribute.handle.get(), attribute.type.get(), bytes.data()), attribute.what);
  std::vector<std::string> result;
  result.reserve(attribute.count);
  for (std::size_t i = 0; i < attribute.count; ++i) {
    const char* text = bytes.data() + i * length;
    result.emplace_back(text, ::strnlen(text, length));
  }
  return result;
}

template <class T>
std::optional<T> read_scalar(const Handle& object, const std::string& name) {
  const auto lock = lock_library();
  const OpenAttribute attribute(object, name);
  if (!attribute.handle) return std::nullopt;
  if (attribute.count != 1) fail("{} is not a single number", attribute.what);
  T value{};
  check(H5Aread(attribute.handle.get(), native_type<T>(), &value), attribute.what);
  return value;
}

}  // namespace

bool has_attribute(const Handle& object, const std::string& name) {
  const auto lock = lock_library();
  return H5Aexists(object.get(), name.c_str()) > 0;
}

void write_attribute(const Handle& object, const std::string& name, const std::string& text) {
  const auto lock = lock_library();
  const char* pointer = text.c_str();
  write(object, name, text_type().get(), scalar_space(), &pointer);
}

void write_attribute(const Handle& object, const std::string& name,
                     const std::vector<std::string>& texts) {
  const auto lock = lock_library();
  std::vector<const char*> pointers;
  pointers.reserve(texts.size());
  for (const std::string& text : texts) pointers.push_back(text.c_str());
  write(object, name, text_type().get(), vector_space(texts.size()), pointers.data());
}

void write_attribute(const Handle& object, const std::string& name, std::int64_t value) {
  const auto lock = lock_library();
  write(object, name, H5T_NATIVE_INT64, scalar_space(), &value);
}

void write_attribute(const Handle& object, const std::string& name, double value) {
  const auto lock = lock_library();
  write(object, name, H5T_NATIVE_DOUBLE, scalar_space(), &value);
}

void write_attribute(const Handle& object, const std::string& name,
                     std::span<const std::uint64_t> values) {
  const auto lock = lock_library();
  write(object, name, H5T_NATIVE_UINT64, vector_space(values.size()), values.data());
}

std::vector<std::string> read_texts(const Handle& object, const std::string& name) {
  const auto lock = lock_library();
  const OpenAttribute attribute(object, name);
  if (!attribute.handle) return {};
  if (H5Tget_class(attribute.type.get()) != H5T_STRING) fail("{} is not text", attribute.what);
  return H5Tis_variable_str(attribute.type.get()) > 0 ? read_variable_texts(attribute)
                                                      : read_fixed_texts(attribute);
}

std::optional<std::string> read_text(const Handle& object, const std::string& name) {
  std::vector<std::string> texts = read_texts(object, name);
  if (texts.empty()) return std::nullopt;
  if (texts.size() != 1) fail("attribute '{}' is not a single text", name);
  return std::move(texts.front());
}

std::optional<std::int64_t> read_integer(const Handle& object, const std::string& name) {
  return read_scalar<std::int64_t>(object, name);
}

std::vector<std::uint64_t> read_words(const Handle& object, const std::string& name) {
  const auto lock = lock_library();
  const OpenAttribute attribute(object, name);
  std::vector<std::uint64_t> values(attribute.count);
  if (attribute.handle && attribute.count > 0) {
    check(H5Aread(attribute.handle.get(), H5T_NATIVE_UINT64, values.data()), attribute.what);
  }
  return values;
}

}  // namespace simclr::h5
