#include "simclr/io/array_summary.hpp"

#include <array>
#include <optional>

#include "hdf5.hpp"
#include "simclr/core/check.hpp"
#include "simclr/io/first_look.hpp"

namespace simclr {
namespace {

constexpr std::array kAttributes{"encoder", "layer",    "checkpoint", "checkpoint_hash", "step",
                                 "classes", "protocol", "first_step", "test_data_hash"};
constexpr hsize_t kMostArrays = 100;
constexpr std::size_t kMostNameBytes = 256;

std::string name_of_link(const h5::Handle& file, hsize_t number) {
  std::array<char, kMostNameBytes> name{};
  const auto bytes = H5Lget_name_by_idx(file.get(), ".", H5_INDEX_NAME, H5_ITER_INC, number,
                                        name.data(), name.size(), H5P_DEFAULT);
  if (bytes < 0 || static_cast<std::size_t>(bytes) >= name.size()) {
    fail("the name of one of its datasets cannot be read");
  }
  return name.data();
}

ArraySummary read_summary(const std::filesystem::path& path) {
  return h5::refusing_damage(path, [&] {
    const h5::Handle file = h5::open_file(path);
    ArraySummary summary;
    for (const char* name : kAttributes) {
      const std::optional<std::int64_t> number = h5::read_integer(file, name);
      const std::optional<std::string> text =
          number ? std::to_string(*number) : h5::read_text(file, name);
      if (text) summary.attributes.emplace_back(name, *text);
    }
    H5G_info_t group{};
    h5::check(H5Gget_info(file.get(), &group), "HDF5 root group");
    if (group.nlinks > kMostArrays) fail("it has {} datasets", group.nlinks);
    for (hsize_t i = 0; i < group.nlinks; ++i) {
      const std::string name = name_of_link(file, i);
      const h5::Extents extents = h5::extents_of(h5::open_plain_dataset(file, path, name));
      summary.arrays.emplace_back(name, std::vector<std::int64_t>(extents.begin(), extents.end()));
    }
    return summary;
  });
}

}  // namespace

ArraySummary summarize_arrays(const std::filesystem::path& file) {
  look_first(file, [](const std::filesystem::path& path) { (void)read_summary(path); });
  const auto lock = h5::lock_library();
  return read_summary(file);
}

}  // namespace simclr
