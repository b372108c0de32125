#include "simclr/io/file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <utility>

#include "simclr/core/check.hpp"
#include "simclr/io/retry.hpp"

namespace simclr {
namespace {

/// More than any file that this program writes or reads as a whole: refuses sparse files.
constexpr off_t kMostFileBytes = off_t{1} << 36;

struct OpenFile {
  Descriptor descriptor;
  std::size_t bytes = 0;
};

/// Opens a plain file. Anything else, such as a pipe, might be read for ever.
OpenFile open_to_read(const std::filesystem::path& path) {
  Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!descriptor && (errno == EACCES || errno == EPERM)) refuse_unreadable(path, errno);
  if (!descriptor) fail_io("read", path, errno);
  struct stat status {};
  if (::fstat(descriptor.get(), &status) != 0) fail_io("read", path, errno);
  if (!S_ISREG(status.st_mode)) refuse("{}: is not a plain file", path.string());
  if (status.st_size > kMostFileBytes) {
    refuse("{}: has {} bytes, more than any such file; check where it came from", path.string(),
           status.st_size);
  }
  return {std::move(descriptor), static_cast<std::size_t>(status.st_size)};
}

Descriptor open_to_append(const std::filesystem::path& path) {
  constexpr mode_t kMode = 0666;  // less the user's umask
  Descriptor descriptor(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, kMode));
  if (!descriptor) fail_io("write", path, errno);
  return descriptor;
}

std::string read_once(const std::filesystem::path& path) {
  const Descriptor descriptor = open_to_read(path).descriptor;
  std::string text;
  std::array<char, 65536> buffer{};
  while (true) {
    const ssize_t got = ::read(descriptor.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_io("read", path, errno);
    if (got == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

std::span<const std::byte> map_once(const std::filesystem::path& path) {
  const OpenFile file = open_to_read(path);
  if (file.bytes == 0) return {};
  void* memory = ::mmap(nullptr, file.bytes, PROT_READ, MAP_PRIVATE, file.descriptor.get(), 0);
  if (memory == MAP_FAILED) fail_io("read", path, errno);
  return {static_cast<const std::byte*>(memory), file.bytes};
}

}  // namespace

std::string read_text_file(const std::filesystem::path& path) {
  return with_retries(path, [&](int) { return read_once(path); });
}

AppendedFile::AppendedFile(std::filesystem::path path)
    : path_(std::move(path)),
      descriptor_(with_retries(path_, [&](int) { return open_to_append(path_); })) {}

void AppendedFile::append(std::string_view text) {
  with_retries(path_, [&](int) {
    while (!text.empty()) {  // a retry continues after the bytes already written
      const ssize_t written = ::write(descriptor_.get(), text.data(), text.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail_io("write", path_, errno);
      text.remove_prefix(static_cast<std::size_t>(written));
    }
  });
}

MappedFile::MappedFile(const std::filesystem::path& path)
    : bytes_(with_retries(path, [&](int) { return map_once(path); })) {}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace simclr
