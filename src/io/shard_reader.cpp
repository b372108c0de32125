#include <fcntl.h>

#include <cerrno>

#include "shard_file.hpp"
#include "simclr/core/activity.hpp"
#include "simclr/core/check.hpp"
#include "simclr/io/retry.hpp"

namespace simclr {
namespace {

Descriptor open_shard(const std::filesystem::path& path) {
  Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (descriptor.get() < 0) fail_io(path.string() + ": cannot be opened", errno);
  return descriptor;
}

void read_at(const Descriptor& descriptor, std::uint64_t offset, std::span<std::byte> out,
             const std::filesystem::path& path) {
  auto position = static_cast<off_t>(offset);
  while (!out.empty()) {
    const ssize_t got = ::pread(descriptor.get(), out.data(), out.size(), position);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_io(path.string() + ": cannot be read", errno);
    if (got == 0) {
      fail("{}: unexpected end of file at byte {}; it was shortened after it was opened",
           path.string(), position);
    }
    out = out.subspan(static_cast<std::size_t>(got));
    position += got;
    activity().move();
  }
}

}  // namespace

ShardReader::ShardReader(const ShardDescription& shard) : shard_(&shard) {
  with_retries(shard.path, [&](int) {
    if (shard.file_offset) {
      descriptor_ = open_shard(shard.path);
    } else {
      file_ = h5::open_file(shard.path);
      dataset_ = h5::open_dataset(file_, shard.pixels_name());
    }
  });
}

void ShardReader::read(std::int64_t first, std::int64_t count, std::span<std::byte> out) const {
  const std::uint64_t begin = shard_->byte_offset(first);
  require(out.size() == shard_->byte_offset(first + count) - begin,
          "the buffer must fit the samples");
  if (count == 0) return;
  with_retries(shard_->path, [&](int attempt) {
    if (!shard_->file_offset) {
      // Rows of `images` are samples, rows of `bytes` are bytes.
      const bool rows_are_samples = shard_->fixed_size;
      h5::read_rows(dataset_, H5T_NATIVE_UINT8,
                    rows_are_samples ? static_cast<hsize_t>(first) : begin,
                    rows_are_samples ? static_cast<hsize_t>(count) : out.size(), out.data());
    } else if (attempt == 1) {
      read_at(descriptor_, *shard_->file_offset + begin, out, shard_->path);
    } else {  // a stale file handle stays stale, so that a retry opens the file again
      read_at(open_shard(shard_->path), *shard_->file_offset + begin, out, shard_->path);
    }
  });
}

}  // namespace simclr
