#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "shard_file.hpp"
#include "simclr/core/activity.hpp"
#include "simclr/core/check.hpp"

namespace simclr {

ShardReader::ShardReader(const ShardDescription& shard) : shard_(&shard) {
  if (shard.file_offset) {
    descriptor_ = ::open(shard.path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor_ < 0) fail_for(Cause::io, "{}: cannot be opened: {}", shard.path.string(), strerror(errno));
  } else {
    file_ = h5::open_file(shard.path);
    dataset_ = h5::open_dataset(file_, shard.pixels_name());
  }
}

ShardReader::ShardReader(ShardReader&& other) noexcept
    : shard_(other.shard_),
      descriptor_(std::exchange(other.descriptor_, -1)),
      file_(std::move(other.file_)),
      dataset_(std::move(other.dataset_)) {}

ShardReader& ShardReader::operator=(ShardReader&& other) noexcept {
  std::swap(shard_, other.shard_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(file_, other.file_);
  std::swap(dataset_, other.dataset_);
  return *this;
}

ShardReader::~ShardReader() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void ShardReader::read(std::int64_t first, std::int64_t count, std::span<std::byte> out) const {
  const std::uint64_t begin = shard_->byte_offset(first);
  require(out.size() == shard_->byte_offset(first + count) - begin,
          "the buffer fits the samples that are read");
  if (count == 0) return;
  if (!shard_->file_offset) {
    // Rows of `images` are samples, rows of `bytes` are bytes.
    const bool rows_are_samples = shard_->fixed_size;
    h5::read_rows(dataset_, H5T_NATIVE_UINT8,
                  rows_are_samples ? static_cast<hsize_t>(first) : begin,
                  rows_are_samples ? static_cast<hsize_t>(count) : out.size(), out.data());
    return;
  }
  auto position = static_cast<off_t>(*shard_->file_offset + begin);
  while (!out.empty()) {
    const ssize_t got = ::pread(descriptor_, out.data(), out.size(), position);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_for(Cause::io, "{}: cannot be read: {}", shard_->path.string(), strerror(errno));
    if (got == 0) fail("{}: ends at byte {}; was it changed?", shard_->path.string(), position);
    out = out.subspan(static_cast<std::size_t>(got));
    position += got;
    activity().move();
  }
}

}  // namespace simclr
