// Which datasets of files from elsewhere are safe to read, and complete.

#include <algorithm>
#include <array>
#include <functional>
#include <system_error>

#include "hdf5.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/checked.hpp"

namespace simclr::h5 {
namespace {

namespace fs = std::filesystem;

/// Where an external link pointed that HDF5 was about to follow.
struct ExternalTarget {
  std::string file, object;
};

herr_t refuse_to_follow(const char* /*parent*/, const char* /*group*/, const char* file,
                        const char* object, unsigned* /*flags*/, hid_t /*access*/, void* target) {
  *static_cast<ExternalTarget*>(target) = {file, object};
  return -1;
}

Handle type_of(const Handle& dataset) {
  return own(H5Dget_type(dataset.get()), H5Tclose, "HDF5 datatype");
}

/// "uint8", "float32", "enumeration of int16"; the numbers are bits.
std::string type_name(const Handle& type) {
  const std::size_t bits = H5Tget_precision(type.get());
  switch (H5Tget_class(type.get())) {
    case H5T_INTEGER:
      return fmt::format("{}{}", H5Tget_sign(type.get()) == H5T_SGN_NONE ? "uint" : "int", bits);
    case H5T_FLOAT:
      return fmt::format("float{}", bits);
    case H5T_ENUM:
      return "enumeration of " +
             type_name(own(H5Tget_super(type.get()), H5Tclose, "HDF5 enumeration"));
    default:
      return "no number";
  }
}

/// Whether every value of type `from` is one of the integer type `to`, so that HDF5 does not change
/// it when it converts.
bool holds_all_values(const Handle& to, const Handle& from) {
  if (H5Tequal(to.get(), from.get()) > 0) return true;
  if (H5Tget_class(to.get()) != H5T_INTEGER || H5Tget_class(from.get()) != H5T_INTEGER)
    return false;
  const bool to_signed = H5Tget_sign(to.get()) != H5T_SGN_NONE;
  const bool from_signed = H5Tget_sign(from.get()) != H5T_SGN_NONE;
  if (from_signed && !to_signed) return false;
  const std::size_t sign = to_signed && !from_signed ? 1 : 0;
  return H5Tget_precision(to.get()) >= H5Tget_precision(from.get()) + sign;
}

/// One dataset under inspection; every refusal names its file and the dataset.
class PlainDataset {
 public:
  PlainDataset(const Handle& file, const fs::path& path, const std::string& name)
      : path_(path), name_(name), dataset_(open(file)) {
    creation_ = own(H5Dget_create_plist(dataset_.get()), H5Pclose, "HDF5 dataset creation list");
    layout_ = H5Pget_layout(creation_.get());
  }

  Handle take_if_plain(bool may_be_virtual) {
    refuse_external_storage();
    if (layout_ == H5D_VIRTUAL) {
      if (!may_be_virtual) reject("is a virtual dataset and the source of another one");
      check_sources();
    } else {
      refuse_missing_filters();
      refuse_unwritten();
      refuse_implausible_size();
    }
    return std::move(dataset_);
  }

 private:
  template <class... Args>
  [[noreturn]] void reject(fmt::format_string<Args...> format, Args&&... args) const {
    refuse("{}: '{}' {}", path_.string(), name_, fmt::format(format, std::forward<Args>(args)...));
  }

  [[nodiscard]] Handle open(const Handle& file) const {
    ExternalTarget target;
    const Handle access = own(H5Pcreate(H5P_DATASET_ACCESS), H5Pclose, "HDF5 dataset access list");
    check(H5Pset_elink_cb(access.get(), refuse_to_follow, &target), "HDF5 external links off");
    const hid_t id = H5Dopen2(file.get(), name_.c_str(), access.get());
    if (!target.file.empty()) {
      reject("is a link to '{}' in {}; external links are not followed: name that file itself",
             target.object, target.file);
    }
    return own(id, H5Dclose, "dataset '" + name_ + "' cannot be opened");
  }

  void refuse_external_storage() const {
    if (H5Pget_external_count(creation_.get()) <= 0) return;
    std::array<char, 4096> file{};
    off_t offset = 0;
    hsize_t bytes = 0;
    H5Pget_external(creation_.get(), 0, file.size() - 1, file.data(), &offset, &bytes);
    reject("has its values in another file, {}; store them in this file", file.data());
  }

  void refuse_missing_filters() const {
    const int filters = H5Pget_nfilters(creation_.get());
    for (int i = 0; i < filters; ++i) {
      std::array<char, 64> filter{};
      unsigned flags = 0;
      unsigned config = 0;
      std::size_t values = 0;
      const H5Z_filter_t id =
          H5Pget_filter2(creation_.get(), static_cast<unsigned>(i), &flags, &values, nullptr,
                         filter.size() - 1, filter.data(), &config);
      if (id < 0 || H5Zfilter_avail(id) > 0) continue;
      reject(
          "is compressed with filter '{}' ({}), which this HDF5 library cannot read; write it with "
          "gzip or uncompressed, or set HDF5_PLUGIN_PATH",
          filter.data(), static_cast<int>(id));
    }
  }

  // HDF5 reads fill values, such as black pixels, where nothing was written.
  void refuse_unwritten() const {
    if (elements() == 0) return;
    if (layout_ == H5D_CHUNKED) return refuse_unwritten_chunks();
    H5D_space_status_t status = H5D_SPACE_STATUS_ERROR;
    check(H5Dget_space_status(dataset_.get(), &status), "HDF5 space status");
    if (status != H5D_SPACE_STATUS_ALLOCATED) reject("was never written; make the file again");
  }

  void refuse_unwritten_chunks() const {
    const Extents extents = extents_of(dataset_);
    Extents chunk(extents.size());
    check(H5Pget_chunk(creation_.get(), static_cast<int>(chunk.size()), chunk.data()),
          "HDF5 chunk shape");
    std::vector<hsize_t> chunks;
    for (std::size_t d = 0; d < extents.size(); ++d) {
      chunks.push_back(extents[d] / chunk[d] + (extents[d] % chunk[d] > 0 ? 1 : 0));
    }
    const hsize_t expected = product(chunks);
    const Handle own_space = own(H5Dget_space(dataset_.get()), H5Sclose, "HDF5 dataspace");
    hsize_t written = 0;
    check(H5Dget_num_chunks(dataset_.get(), own_space.get(), &written), "HDF5 number of chunks");
    if (written < expected) {
      reject("was written only in part: {} of its {} chunks; make the file again", written,
             expected);
    }
  }

  // Protects from files of some kilobytes that claim to unpack to terabytes.
  void refuse_implausible_size() const {
    constexpr hsize_t kMostCompression = 1100;  // gzip's limit is 1032
    constexpr hsize_t kAlwaysPlausible = hsize_t{64} << 20;
    const Handle type = type_of(dataset_);
    const hsize_t stored = H5Dget_storage_size(dataset_.get());
    const hsize_t bytes = product(std::array{elements(), hsize_t{H5Tget_size(type.get())}});
    if (bytes > kAlwaysPlausible && bytes / kMostCompression > stored) {
      reject("claims more data than the {} bytes that the file stores for it; make it again",
             stored);
    }
  }

  template <class Factors>
  [[nodiscard]] hsize_t product(const Factors& factors) const {
    const auto result = checked_product(factors);
    if (!result) reject("has an impossible shape");
    return *result;
  }

  [[nodiscard]] hsize_t elements() const { return product(extents_of(dataset_)); }

  void check_sources() const {
    std::size_t sources = 0;
    check(H5Pget_virtual_count(creation_.get(), &sources), "HDF5 virtual sources");
    const Handle gaps = own(H5Dget_space(dataset_.get()), H5Sclose, "HDF5 dataspace");
    const Extents whole = extents_of(dataset_);
    const Extents origin(whole.size(), 0);
    check(H5Sselect_hyperslab(gaps.get(), H5S_SELECT_SET, origin.data(), nullptr, whole.data(),
                              nullptr),
          "HDF5 virtual mapping");
    for (std::size_t i = 0; i < sources; ++i) {
      const Handle target =
          own(H5Pget_virtual_vspace(creation_.get(), i), H5Sclose, "HDF5 virtual mapping");
      if (H5Sget_select_npoints(target.get()) < 0) {
        reject("has a virtual source without bounds; give it a fixed shape");
      }
      const bool all = H5Sget_select_type(target.get()) == H5S_SEL_ALL;
      check(all ? H5Sselect_none(gaps.get())
                : H5Smodify_select(gaps.get(), H5S_SELECT_NOTB, target.get()),
            "HDF5 virtual mapping");
      check_source(i);
    }
    if (H5Sget_select_npoints(gaps.get()) > 0) reject("has places that no virtual source fills");
  }

  void check_source(std::size_t i) const {
    const std::string file_name = text(i, H5Pget_virtual_filename);
    const fs::path source = path_.parent_path() / file_name;
    std::error_code error;
    if (file_name == "." || fs::equivalent(source, path_, error)) {
      reject("is a virtual dataset that refers to its own file; store the values");
    }
    if (!is_inside_directory(source)) {
      reject("has its values in {}, outside of its directory; put both into one directory",
             file_name);
    }
    if (!fs::is_regular_file(fs::symlink_status(source, error))) {
      reject("has its values in {}, which is not there (or not a plain file); copy it again",
             file_name);
    }
    const Handle opened = open_file(source);
    const std::string source_name = text(i, H5Pget_virtual_dsetname);
    const Handle dataset = PlainDataset(opened, source, source_name).take_if_plain(false);
    const Handle own_type = type_of(dataset_);
    const Handle type = type_of(dataset);
    if (!holds_all_values(own_type, type)) {
      reject(
          "is of type {}, but its values in {}, dataset '{}', are of type {}, which may not fit; "
          "store them as {}",
          type_name(own_type), file_name, source_name, type_name(type), type_name(own_type));
    }
    const Handle space =
        own(H5Pget_virtual_srcspace(creation_.get(), i), H5Sclose, "HDF5 virtual source");
    require_inside(space, extents_of(dataset), file_name);
  }

  [[nodiscard]] bool is_inside_directory(const fs::path& source) const {
    const fs::path directory = fs::canonical(fs::absolute(path_).parent_path());
    const fs::path resolved = fs::weakly_canonical(fs::absolute(source));
    return std::ranges::mismatch(directory, resolved).in1 == directory.end();
  }

  void require_inside(const Handle& selection, const Extents& extents,
                      const std::string& file_name) const {
    if (H5Sget_select_type(selection.get()) == H5S_SEL_ALL) return;
    Extents first(extents.size());
    Extents last(extents.size());
    const bool same_rank =
        H5Sget_simple_extent_ndims(selection.get()) == static_cast<int>(extents.size());
    if (!same_rank || H5Sget_select_bounds(selection.get(), first.data(), last.data()) < 0 ||
        !std::ranges::equal(last, extents, std::less{})) {
      reject("needs more values than {} has; make both again", file_name);
    }
  }

  /// The text that `get` gives for a source.
  template <class Get>
  [[nodiscard]] std::string text(std::size_t i, const Get& get) const {
    const ssize_t length = get(creation_.get(), i, nullptr, 0);
    if (length < 0) reject("has a virtual source without a name");
    std::string value(static_cast<std::size_t>(length), '\0');
    get(creation_.get(), i, value.data(), value.size() + 1);
    return value;
  }

  const fs::path& path_;
  const std::string& name_;
  Handle dataset_, creation_;
  H5D_layout_t layout_ = H5D_LAYOUT_ERROR;
};

}  // namespace

Handle open_plain_dataset(const Handle& file, const fs::path& path, const std::string& name) {
  const auto lock = lock_library();
  return PlainDataset(file, path, name).take_if_plain(true);
}

}  // namespace simclr::h5
