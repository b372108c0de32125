#include "simclr/io/atomic_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "simclr/core/activity.hpp"
#include "simclr/core/hash.hpp"
#include "simclr/core/system.hpp"
#include "simclr/io/retry.hpp"

namespace simclr {
namespace {

/// A call writes no more, so that the watchdog sees progress on a slow disk.
constexpr std::size_t kMostBytesAtOnce = std::size_t{64} << 20;

}  // namespace

TemporaryFile::TemporaryFile(std::filesystem::path target)
    : target_(std::move(target)),
      temporary_(fmt::format("{}.tmp-{}", target_.string(), to_hex(random_number()))) {
  constexpr mode_t kMode = 0666;  // less the user's umask
  descriptor_ = Descriptor(
      ::open(temporary_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kMode));
  if (!descriptor_) fail_io("create", target_, errno);
}

TemporaryFile::~TemporaryFile() {
  if (!published_) ::unlink(temporary_.c_str());
}

void TemporaryFile::sync() {
  if (::fsync(descriptor_.get()) != 0) fail_io("sync", target_, errno);
  descriptor_ = Descriptor();  // many may wait to be published
}

void TemporaryFile::publish() {
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail_io("rename", target_, errno);
  published_ = true;
  // Makes the rename durable where the file system can sync a directory; some cannot.
  const auto parent = target_.has_parent_path() ? target_.parent_path() : ".";
  const Descriptor directory(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory) ::fsync(directory.get());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written =
        ::write(file_.descriptor().get(), bytes.data(), std::min(bytes.size(), kMostBytesAtOnce));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_io("write", file_.target(), errno);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    activity().move();
  }
}

void AtomicFile::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void AtomicFile::write_at(std::uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written =
        ::pwrite(file_.descriptor().get(), bytes.data(), std::min(bytes.size(), kMostBytesAtOnce),
                 static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_io("write", file_.target(), errno);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    offset += static_cast<std::uint64_t>(written);
    activity().move();
  }
}

void AtomicFile::read_at(std::uint64_t offset, std::span<std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t got =
        ::pread(file_.descriptor().get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_io("read", file_.target(), errno);
    if (got == 0) {
      std::ranges::fill(bytes, std::byte{0});
      return;
    }
    bytes = bytes.subspan(static_cast<std::size_t>(got));
    offset += static_cast<std::uint64_t>(got);
  }
}

void AtomicFile::resize(std::uint64_t bytes) {
  if (::ftruncate(file_.descriptor().get(), static_cast<off_t>(bytes)) != 0) {
    fail_io("write", file_.target(), errno);
  }
}

void AtomicFile::commit(const std::function<bool()>& still_wanted) {
  file_.sync();
  if (!still_wanted || still_wanted()) file_.publish();
}

void write_file(const std::filesystem::path& target,
                const std::function<void(AtomicFile& file)>& write,
                const std::function<bool()>& still_wanted) {
  with_retries(target, [&](int) {
    AtomicFile file(target);
    write(file);
    file.commit(still_wanted);
  });
}

void write_file(const std::filesystem::path& target, std::string_view text) {
  write_file(target, [text](AtomicFile& file) { file.write(text); });
}

}  // namespace simclr
