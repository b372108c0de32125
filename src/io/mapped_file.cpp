#include "simclr/io/mapped_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "simclr/core/check.hpp"

namespace simclr {

MappedFile::MappedFile(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0)
    fail_for(Cause::io, "{}: cannot be opened: {}", path.string(), std::strerror(errno));
  struct stat status {};
  void* memory = nullptr;
  int error = ::fstat(descriptor, &status) != 0 ? errno : 0;
  const auto size = static_cast<std::size_t>(status.st_size);
  if (error == 0 && size > 0) {
    memory = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (memory == MAP_FAILED) error = errno;
  }
  ::close(descriptor);
  if (error != 0)
    fail_for(Cause::io, "{}: cannot be read: {}", path.string(), std::strerror(error));
  if (memory != nullptr) bytes_ = {static_cast<const std::byte*>(memory), size};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace simclr
