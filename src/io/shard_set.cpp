#include "simclr/io/shard_set.hpp"

#include <algorithm>
#include <exception>
#include <mutex>

#include "shard_file.hpp"
#include "shard_files.hpp"
#include "simclr/core/check.hpp"
#include "simclr/io/directory.hpp"

namespace simclr {
namespace {

namespace fs = std::filesystem;

void require_same_kind(const ShardDescription& first, const ShardDescription& other) {
  const auto reject = [&](const std::string& what) {
    refuse("{}: {}, unlike {}; all shards of a set must agree: pack the set again",
           other.path.string(), what, first.path.filename().string());
  };
  if (first.fixed_size != other.fixed_size || first.encoding != other.encoding) {
    reject("has another layout or encoding");
  }
  if (first.fixed_size && (first.height != other.height || first.width != other.width)) {
    reject(fmt::format("its images are {}x{}, not {}x{}", other.height, other.width, first.height,
                       first.width));
  }
  if (first.mark_columns != other.mark_columns) {
    reject(
        fmt::format("its labels mark {} classes, not {}", other.mark_columns, first.mark_columns));
  }
  if (first.labels.has_value() != other.labels.has_value()) {
    reject(other.labels ? "has labels" : "has no labels");
  }
  if (first.named != other.named) {
    reject(other.named ? "has names of its samples" : "has no names of its samples");
  }
  if (first.class_names != other.class_names) reject("has other class names");
}

/// "d" for a/b/d, a/b/d/ and, within it, for ".".
std::string name_of(const fs::path& directory) {
  const fs::path whole = fs::absolute(directory).lexically_normal();
  return (whole.has_filename() ? whole : whole.parent_path()).filename().string();
}

}  // namespace

std::string ShardSetInfo::shard_names() const {
  constexpr std::size_t kMostNames = 8;
  std::vector<std::string> names;
  names.reserve(shards.size());
  for (const fs::path& shard : shards) names.push_back(shard.filename().string());
  return fmt::format("{} shard{}: {}", shards.size(), shards.size() == 1 ? "" : "s",
                     first_names(names, kMostNames));
}

std::string ShardSetInfo::place_of(std::int64_t sample) const {
  const auto next = std::ranges::upper_bound(first_sample, sample);
  const fs::path& shard = shards.at(static_cast<std::size_t>(next - first_sample.begin()) - 1);
  return fmt::format("{}: sample {} of '{}'", shard.string(), sample, name);
}

struct ShardSet::Impl {
  ShardSetInfo info;
  std::vector<ShardDescription> shards;
  std::optional<ShardReader> reader;      // once all shards are known
  std::vector<std::uint64_t> first_byte;  // start of each shard in the concatenation
  std::vector<std::int64_t> labels;
  std::once_flag names_once;
  SampleNames names;
  std::vector<std::uint8_t> marks;

  [[nodiscard]] std::size_t shard_of(std::int64_t sample) const {
    require(sample >= 0 && sample < info.samples, "the sample must be in the data set");
    const auto next = std::upper_bound(info.first_sample.begin(), info.first_sample.end(), sample);
    return static_cast<std::size_t>(next - info.first_sample.begin()) - 1;
  }

  [[nodiscard]] std::uint64_t image_bytes() const { return shards.front().byte_offset(1); }

  /// Start of a sample in the concatenation of all shards; its end for sample == info.samples.
  [[nodiscard]] std::uint64_t byte_position(std::int64_t sample) const {
    // Skips the search where it can, because this runs for every sample of every batch.
    if (info.fixed_size) return static_cast<std::uint64_t>(sample) * image_bytes();
    if (sample == info.samples) return first_byte.back();
    const std::size_t s = shard_of(sample);
    const ShardDescription& shard = shards[s];
    return first_byte[s] + shard.byte_offset(sample - info.first_sample[s]) - shard.byte_offset(0);
  }

  void add(ShardDescription shard) {
    if (!shards.empty()) {
      require_same_kind(shards.front(), shard);
      shard.class_names.clear();  // equal to the first shard's
    }
    info.shards.push_back(shard.path);
    info.first_sample.push_back(info.samples);
    info.samples += shard.samples;
    info.height = std::max(info.height, shard.height);
    info.width = std::max(info.width, shard.width);
    if (first_byte.empty()) first_byte.push_back(0);
    first_byte.push_back(first_byte.back() + shard.byte_offset(shard.samples) -
                         shard.byte_offset(0));
    if (shard.labels) {
      labels.insert(labels.end(), shard.labels->begin(), shard.labels->end());
      shard.labels->clear();
    }
    marks.insert(marks.end(), shard.marks.begin(), shard.marks.end());
    shard.marks = {};
    shards.push_back(std::move(shard));
  }

  void read_names() {
    SampleNames read;
    for (const ShardDescription& shard : shards) {
      const SampleNames part = read_shard_names(shard);
      for (std::int64_t row = 0; row < part.size(); ++row) read.append(part[row]);
    }
    names = std::move(read);
  }

  void summarize(const fs::path& directory) {
    const ShardDescription& first = shards.front();
    if (info.samples == 0) refuse("{}: its shards have no samples", directory.string());
    info.path = directory;
    info.name = first.name.empty() ? name_of(directory) : first.name;
    info.fixed_size = first.fixed_size;
    info.encoding = first.encoding;
    info.class_names = first.class_names;
    info.labeled = first.labels.has_value();
    info.named = first.named;
    info.labeled_samples = std::ranges::count_if(labels, [](auto label) { return label >= 0; });
    info.mark_columns = first.mark_columns;
    info.classes = std::max(std::ssize(info.class_names), info.mark_columns);
    if (!labels.empty()) {
      info.classes = std::max(info.classes, *std::max_element(labels.begin(), labels.end()) + 1);
    }
  }
};

ShardSet::ShardSet(const fs::path& directory) : ShardSet(directory, find_shards(directory)) {}

ShardSet::ShardSet(const fs::path& directory, const std::vector<fs::path>& shards)
    : impl_(std::make_shared<Impl>()) {
  for (const fs::path& path : shards) impl_->add(describe_shard(path));
  impl_->summarize(directory);
  impl_->reader.emplace(impl_->shards, allow_open_files(shards.size()));
}

ShardSet ShardSet::open_on_node(const fs::path& directory, Communicator& node) {
  std::vector<fs::path> shards;
  std::exception_ptr problem;
  try {
    shards = find_shards(directory);
  } catch (...) {
    problem = std::current_exception();
  }
  look_at_shards(shards, node);  // all ranks take part in this
  if (problem) std::rethrow_exception(problem);
  return {directory, shards};
}

const ShardSetInfo& ShardSet::info() const { return impl_->info; }
const std::vector<std::int64_t>& ShardSet::labels() const { return impl_->labels; }

const SampleNames& ShardSet::names() const {
  if (impl_->info.named) std::call_once(impl_->names_once, [this] { impl_->read_names(); });
  return impl_->names;
}

const std::vector<std::uint8_t>& ShardSet::marks() const { return impl_->marks; }

ShardSet::StoredChecksums ShardSet::stored_checksums() const {
  StoredChecksums stored;
  for (const ShardDescription& shard : impl_->shards) {
    if (!shard.checksums) return {};
    stored.division.insert(stored.division.end(), {shard.samples, shard.checksums->block_samples});
    stored.hashes.push_back(shard.checksums->hash);
  }
  return stored;
}

std::optional<ShardSet::FilePosition> ShardSet::file_position(std::int64_t sample) const {
  const std::size_t s = impl_->shard_of(sample);
  const ShardDescription& shard = impl_->shards[s];
  if (!shard.file_offset) return std::nullopt;
  return FilePosition{shard.path,
                      *shard.file_offset + shard.byte_offset(sample - impl_->info.first_sample[s])};
}

std::uint64_t ShardSet::first_stored_byte(std::size_t shard) const {
  return impl_->shards.at(shard).byte_offset(0);
}

std::uint64_t ShardSet::stored_bytes(std::int64_t first, std::int64_t count) const {
  return impl_->byte_position(first + count) - impl_->byte_position(first);
}

ShardSet::Extent ShardSet::extent(std::int64_t sample) const {
  const std::uint64_t begin = impl_->byte_position(sample);
  if (impl_->info.fixed_size) {
    require(sample >= 0 && sample < impl_->info.samples, "the sample must be in the data set");
    return {begin, impl_->image_bytes(), impl_->info.height, impl_->info.width};
  }
  const std::size_t s = impl_->shard_of(sample);
  const ShardDescription& shard = impl_->shards[s];
  const std::int64_t row = sample - impl_->info.first_sample[s];
  return {begin, shard.byte_offset(row + 1) - shard.byte_offset(row),
          shard.sizes[static_cast<std::size_t>(2 * row)],
          shard.sizes[static_cast<std::size_t>(2 * row + 1)]};
}

void ShardSet::read(std::int64_t first, std::int64_t count, std::span<std::byte> out) const {
  require(out.size() == stored_bytes(first, count), "the buffer must fit the samples");
  while (count > 0) {
    const std::size_t s = impl_->shard_of(first);
    const std::int64_t row = first - impl_->info.first_sample[s];
    const std::int64_t rows = std::min(count, impl_->shards[s].samples - row);
    const std::uint64_t bytes = stored_bytes(first, rows);
    impl_->reader->read(s, row, rows, out.first(bytes));
    out = out.subspan(bytes);
    first += rows;
    count -= rows;
  }
}

}  // namespace simclr
