#include "simclr/io/file_format.hpp"

#include "hdf5.hpp"

namespace simclr {

std::string hdf5_file_format(const std::filesystem::path& path) {
  const auto lock = h5::lock_library();
  return h5::read_text(h5::open_file(path), "format").value_or("");
}

}  // namespace simclr
