#include "simclr/io/array_file.hpp"

#include <functional>
#include <map>
#include <numeric>
#include <utility>

#include "hdf5_stream.hpp"
#include "simclr/core/check.hpp"
#include "simclr/io/atomic_file.hpp"

namespace simclr {
namespace {

hid_t hdf5_type(ArrayFile::Type type) {
  switch (type) {
    case ArrayFile::Type::f32:
      return H5T_NATIVE_FLOAT;
    case ArrayFile::Type::i32:
      return H5T_NATIVE_INT32;
    case ArrayFile::Type::i64:
      return H5T_NATIVE_INT64;
    case ArrayFile::Type::u8:
      return H5T_NATIVE_UINT8;
    case ArrayFile::Type::u64:
      return H5T_NATIVE_UINT64;
  }
  fail("internal error: unknown ArrayFile::Type value");
}

}  // namespace

struct ArrayFile::Impl {
  explicit Impl(std::filesystem::path path) : target(std::move(path)) {}

  AtomicFile target;
  h5::StreamedFile file{target, h5::FileLayout::pages};
  std::map<std::string, h5::Handle> datasets;
};

ArrayFile::ArrayFile(std::filesystem::path path) : impl_(std::make_unique<Impl>(std::move(path))) {}
ArrayFile::~ArrayFile() = default;

void ArrayFile::create(const std::string& name, Type type,
                       const std::vector<std::int64_t>& extents) {
  impl_->datasets[name] = h5::create_dataset(impl_->file.handle(), name, hdf5_type(type),
                                             h5::Extents(extents.begin(), extents.end()));
}

template <class T>
void ArrayFile::write(const std::string& name, const std::vector<std::int64_t>& leading,
                      std::span<const T> values) {
  const auto found = impl_->datasets.find(name);
  require(found != impl_->datasets.end(), "create() must precede write()");
  const h5::Extents extents = h5::extents_of(found->second);
  require(!leading.empty() && leading.size() <= extents.size(),
          "the number of coordinates must be from 1 to the dataset's rank");
  const hsize_t row_elements =
      std::accumulate(extents.begin() + static_cast<std::ptrdiff_t>(leading.size()), extents.end(),
                      hsize_t{1}, std::multiplies<>());
  require(values.size() % row_elements == 0, "values must fill whole rows");
  h5::naming_file(impl_->target.target(), [&] {
    h5::write_rows(found->second, h5::native_type<T>(), h5::Extents(leading.begin(), leading.end()),
                   values.size() / row_elements, values.data());
    impl_->file.require_written();
  });
}
template void ArrayFile::write(const std::string&, const std::vector<std::int64_t>&,
                               std::span<const float>);
template void ArrayFile::write(const std::string&, const std::vector<std::int64_t>&,
                               std::span<const std::int32_t>);
template void ArrayFile::write(const std::string&, const std::vector<std::int64_t>&,
                               std::span<const std::int64_t>);
template void ArrayFile::write(const std::string&, const std::vector<std::int64_t>&,
                               std::span<const std::uint8_t>);
template void ArrayFile::write(const std::string&, const std::vector<std::int64_t>&,
                               std::span<const std::uint64_t>);

void ArrayFile::attribute(const std::string& name, const std::string& text) {
  h5::write_attribute(impl_->file.handle(), name, text);
}
void ArrayFile::attribute(const std::string& name, std::int64_t value) {
  h5::write_attribute(impl_->file.handle(), name, value);
}

void ArrayFile::finish() {
  impl_->datasets.clear();
  h5::naming_file(impl_->target.target(), [&] { impl_->file.close(); });
  impl_->target.commit();
}

}  // namespace simclr
