#include "simclr/io/text_file.hpp"

#include <fcntl.h>

#include <array>
#include <cerrno>

#include "simclr/core/check.hpp"
#include "simclr/core/descriptor.hpp"
#include "simclr/io/retry.hpp"

namespace simclr {
namespace {

Descriptor open_text(const std::filesystem::path& path, int flags) {
  constexpr mode_t kMode = 0644;
  Descriptor descriptor(::open(path.c_str(), flags | O_CLOEXEC, kMode));
  if (descriptor.get() < 0) fail_io("cannot open " + path.string(), errno);
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

struct AppendedFile::Impl {
  std::filesystem::path path;
  Descriptor descriptor;
};

AppendedFile::AppendedFile(std::filesystem::path path) : impl_(std::make_unique<Impl>()) {
  impl_->path = std::move(path);
  impl_->descriptor = with_retries(
      impl_->path, [&](int) { return open_text(impl_->path, O_WRONLY | O_APPEND | O_CREAT); });
}

AppendedFile::~AppendedFile() = default;

void AppendedFile::append(std::string_view text) {
  with_retries(impl_->path, [&](int) {
    while (!text.empty()) {  // a retry continues after the bytes already written
      const ssize_t written = ::write(impl_->descriptor.get(), text.data(), text.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail_io("cannot write " + impl_->path.string(), errno);
      text.remove_prefix(static_cast<std::size_t>(written));
    }
  });
}

}  // namespace simclr
