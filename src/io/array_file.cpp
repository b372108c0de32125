#include "simclr/io/array_file.hpp"

#include <unistd.h>

#include <functional>
#include <map>
#include <numeric>
#include <system_error>
#include <utility>

#include "hdf5.hpp"
#include "simclr/core/check.hpp"

namespace simclr {
namespace {

hid_t stored_type(ArrayFile::Type type) {
  switch (type) {
    case ArrayFile::Type::f32:
      return H5T_NATIVE_FLOAT;
    case ArrayFile::Type::i64:
      return H5T_NATIVE_INT64;
    case ArrayFile::Type::u8:
      return H5T_NATIVE_UINT8;
  }
  fail("unknown array type");
}

}  // namespace

struct ArrayFile::Impl {
  std::filesystem::path path, temporary;
  h5::Handle file;
  std::map<std::string, h5::Handle> datasets;

  template <class T>
  void write(const std::string& name, const std::vector<std::int64_t>& leading,
             std::span<const T> values) {
    const auto found = datasets.find(name);
    require(found != datasets.end(), "create() must precede write()");
    const h5::Extents extents = h5::extents_of(found->second);
    require(!leading.empty() && leading.size() <= extents.size(),
            "the number of coordinates must be from 1 to the dataset's rank");
    const hsize_t row_elements =
        std::accumulate(extents.begin() + static_cast<std::ptrdiff_t>(leading.size()),
                        extents.end(), hsize_t{1}, std::multiplies<>());
    require(values.size() % row_elements == 0, "values must fill whole rows");
    try {
      h5::write_rows(found->second, h5::native_type<T>(),
                     h5::Extents(leading.begin(), leading.end()), values.size() / row_elements,
                     values.data());
    } catch (const Error& error) {
      fail("{}: {}", path.string(), error.what());
    }
  }
};

ArrayFile::ArrayFile(std::filesystem::path path) : impl_(std::make_unique<Impl>()) {
  impl_->temporary = path;
  impl_->temporary += ".partial-" + std::to_string(::getpid());
  impl_->path = std::move(path);
  impl_->file = h5::create_file(impl_->temporary);
}

ArrayFile::~ArrayFile() {
  if (!impl_->file) return;
  impl_->datasets.clear();
  impl_->file = {};
  std::error_code ignored;
  std::filesystem::remove(impl_->temporary, ignored);
}

void ArrayFile::create(const std::string& name, Type type,
                       const std::vector<std::int64_t>& extents) {
  impl_->datasets[name] = h5::create_dataset(impl_->file, name, stored_type(type),
                                             h5::Extents(extents.begin(), extents.end()));
}

void ArrayFile::write(const std::string& name, std::int64_t first_row,
                      std::span<const float> values) {
  impl_->write(name, {first_row}, values);
}
void ArrayFile::write(const std::string& name, std::int64_t first_row,
                      std::span<const std::int64_t> values) {
  impl_->write(name, {first_row}, values);
}
void ArrayFile::write(const std::string& name, std::int64_t first_row,
                      std::span<const std::uint8_t> values) {
  impl_->write(name, {first_row}, values);
}
void ArrayFile::write(const std::string& name, const std::vector<std::int64_t>& leading,
                      std::span<const float> values) {
  impl_->write(name, leading, values);
}
void ArrayFile::write(const std::string& name, const std::vector<std::int64_t>& leading,
                      std::span<const std::int64_t> values) {
  impl_->write(name, leading, values);
}

void ArrayFile::attribute(const std::string& name, const std::string& text) {
  h5::write_attribute(impl_->file, name, text);
}
void ArrayFile::attribute(const std::string& name, std::int64_t value) {
  h5::write_attribute(impl_->file, name, value);
}

void ArrayFile::finish() {
  impl_->datasets.clear();
  impl_->file.close(impl_->path.string() + ": cannot be completed");
  h5::sync_to_disk(impl_->temporary);
  std::filesystem::rename(impl_->temporary, impl_->path);
  const auto directory = impl_->path.parent_path();
  h5::sync_to_disk(directory.empty() ? "." : directory);
}

}  // namespace simclr
