#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <utility>

#include "shard_file.hpp"
#include "simclr/core/activity.hpp"
#include "simclr/core/check.hpp"
#include "simclr/io/retry.hpp"

namespace simclr {
namespace {

namespace fs = std::filesystem;

Descriptor open_to_read(const fs::path& path) {
  Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (descriptor.get() < 0) fail_io(path.string() + ": cannot be opened", errno);
  return descriptor;
}

void read_at(const Descriptor& descriptor, std::uint64_t offset, std::span<std::byte> out,
             const fs::path& path) {
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

std::size_t used_descriptors() {
  std::error_code unknown;
  return static_cast<std::size_t>(
      std::distance(fs::directory_iterator("/proc/self/fd", unknown), fs::directory_iterator()));
}

}  // namespace

std::size_t most_open_files(std::size_t wanted, std::size_t used, std::size_t limit) {
  const std::size_t left = limit - std::min(limit, used);
  return std::min(wanted, std::max<std::size_t>(left / 4, 1));
}

std::size_t allow_open_files(std::size_t wanted) {
  const std::size_t used = used_descriptors();
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1;
  if (most_open_files(wanted, used, limit.rlim_cur) < wanted) {
    const rlimit higher{std::min<rlim_t>(limit.rlim_max, used + 4 * wanted), limit.rlim_max};
    if (higher.rlim_cur > limit.rlim_cur && ::setrlimit(RLIMIT_NOFILE, &higher) == 0) {
      limit = higher;
    }
  }
  return most_open_files(wanted, used, limit.rlim_cur);
}

void require_unchanged(const ShardDescription& shard) {
  if (file_state(shard.path) == shard.state) return;
  fail("{}: was changed after this start had opened the data set; start again",
       shard.path.string());
}

ShardReader::ShardReader(const std::vector<ShardDescription>& shards, std::size_t most_open)
    : shards_(shards), most_open_(most_open), open_(shards.size()) {}

std::shared_ptr<const ShardReader::OpenShard> ShardReader::open(const ShardDescription& shard) {
  require_unchanged(shard);  // shards are opened at any time, also again
  auto opened = std::make_shared<OpenShard>();
  if (shard.file_offset) {
    opened->descriptor = open_to_read(shard.path);
  } else {
    opened->file = h5::open_file(shard.path);
    h5::naming_damage(
        shard.path, [&] { opened->dataset = h5::open_dataset(opened->file, shard.pixels_name()); });
  }
  return opened;
}

std::shared_ptr<const ShardReader::OpenShard> ShardReader::opened(std::size_t shard) {
  {
    const std::lock_guard lock(mutex_);
    if (open_[shard]) return open_[shard];
  }
  // Without the lock, because a file server may take its time.
  std::shared_ptr<const OpenShard> found = open(shards_[shard]);
  std::shared_ptr<const OpenShard> closed;  // after the lock is gone
  const std::lock_guard lock(mutex_);
  if (open_[shard]) return open_[shard];  // another thread was faster
  if (order_.size() == most_open_) {
    closed = std::exchange(open_[order_.front()], nullptr);
    order_.pop();
  }
  order_.push(shard);
  return open_[shard] = std::move(found);
}

void ShardReader::read(std::size_t shard, std::int64_t first, std::int64_t count,
                       std::span<std::byte> out) {
  const ShardDescription& description = shards_[shard];
  const std::uint64_t begin = description.byte_offset(first);
  require(out.size() == description.byte_offset(first + count) - begin,
          "the buffer must fit the samples");
  if (count == 0) return;
  with_retries(description.path, [&](int attempt) {
    if (!description.file_offset) {
      // Rows of `images` are samples, rows of `bytes` are bytes.
      const bool rows_are_samples = description.fixed_size;
      const auto open_shard = opened(shard);
      h5::naming_damage(description.path, [&] {
        h5::read_rows(open_shard->dataset, H5T_NATIVE_UINT8,
                      rows_are_samples ? static_cast<hsize_t>(first) : begin,
                      rows_are_samples ? static_cast<hsize_t>(count) : out.size(), out.data());
      });
    } else if (attempt == 1) {
      read_at(opened(shard)->descriptor, *description.file_offset + begin, out, description.path);
    } else {  // a stale file handle stays stale, so that a retry opens the file again
      read_at(open_to_read(description.path), *description.file_offset + begin, out,
              description.path);
    }
  });
}

}  // namespace simclr
