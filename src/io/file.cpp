#include "simclr/io/file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <utility>

#include "simclr/io/retry.hpp"

namespace simclr {
namespace {

Descriptor open_text(const std::filesystem::path& path, int flags) {
  constexpr mode_t kMode = 0666;  // less the user's umask
  Descriptor descriptor(::open(path.c_str(), flags | O_CLOEXEC, kMode));
  if (!descriptor) fail_io("cannot open " + path.string(), errno);
  return descriptor;
}

std::string read_once(const std::filesystem::path& path) {
  const Descriptor descriptor = open_text(path, O_RDONLY);
  std::string text;
  std::array<char, 65536> buffer{};
  while (true) {
    const ssize_t got = ::read(descriptor.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_io("cannot read " + path.string(), errno);
    if (got == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

}  // namespace

std::string read_text_file(const std::filesystem::path& path) {
  return with_retries(path, [&](int) { return read_once(path); });
}

AppendedFile::AppendedFile(std::filesystem::path path)
    : path_(std::move(path)), descriptor_(with_retries(path_, [&](int) {
        return open_text(path_, O_WRONLY | O_APPEND | O_CREAT);
      })) {}

void AppendedFile::append(std::string_view text) {
  with_retries(path_, [&](int) {
    while (!text.empty()) {  // a retry continues after the bytes already written
      const ssize_t written = ::write(descriptor_.get(), text.data(), text.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail_io("cannot write " + path_.string(), errno);
      text.remove_prefix(static_cast<std::size_t>(written));
    }
  });
}

MappedFile::MappedFile(const std::filesystem::path& path) {
  const Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!descriptor) fail_io(path.string() + ": cannot be opened", errno);
  struct stat status {};
  if (::fstat(descriptor.get(), &status) != 0) fail_io(path.string() + ": cannot be read", errno);
  if (status.st_size == 0) return;
  const auto size = static_cast<std::size_t>(status.st_size);
  void* memory = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor.get(), 0);
  if (memory == MAP_FAILED) fail_io(path.string() + ": cannot be read", errno);
  bytes_ = {static_cast<const std::byte*>(memory), size};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace simclr
