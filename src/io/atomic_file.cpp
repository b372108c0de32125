#include "simclr/io/atomic_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "simclr/core/activity.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/host_name.hpp"
#include "simclr/io/retry.hpp"

namespace simclr {
namespace {

/// Makes a rename durable.
void sync_directory(const std::filesystem::path& directory) {
  const int descriptor = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

}  // namespace

AtomicFile::AtomicFile(std::filesystem::path target)
    : target_(std::move(target)),
      temporary_(fmt::format("{}.tmp-{}-{}", target_.string(), host_name(), ::getpid())) {
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail_with("create");
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_with("write");
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    activity().move();
  }
}

void AtomicFile::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void AtomicFile::commit(const std::function<bool()>& still_wanted) {
  if (::fsync(descriptor_) != 0) fail_with("sync");
  if (still_wanted && !still_wanted()) return;
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail_with("rename");
  ::close(std::exchange(descriptor_, -1));
  const auto parent = target_.parent_path();
  sync_directory(parent.empty() ? std::filesystem::path(".") : parent);
}

void AtomicFile::fail_with(std::string_view action) const {
  fail_io(fmt::format("cannot {} {}", action, target_.string()), errno);
}

void write_file(const std::filesystem::path& target,
                const std::function<void(AtomicFile& file)>& write) {
  with_retries(target, [&](int) {
    AtomicFile file(target);
    write(file);
    file.commit();
  });
}

void write_file(const std::filesystem::path& target, std::string_view text) {
  write_file(target, [text](AtomicFile& file) { file.write(text); });
}

}  // namespace simclr
