#include "simclr/io/shard_writer.hpp"

#include <algorithm>
#include <fstream>
#include <optional>
#include <regex>
#include <utility>

#include "hdf5_stream.hpp"
#include "shard_file.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/hash.hpp"
#include "simclr/io/atomic_file.hpp"

namespace simclr {
namespace {

constexpr std::int64_t kMinBlockSamples = 64;
constexpr std::int64_t kMaxBlocks = 4096;

/// Samples per checksum in a shard of `samples` samples.
std::int64_t block_samples(std::int64_t samples) {
  return std::max(kMinBlockSamples, (samples + kMaxBlocks - 1) / kMaxBlocks);
}

template <class T>
void write_with_checksum(const h5::Handle& file, const std::string& name, std::span<const T> values,
                         h5::Extents extents = {}) {
  const h5::Handle dataset = h5::write_dataset(file, name, values, std::move(extents));
  const std::uint64_t hash = hash64(std::as_bytes(values));
  h5::write_attribute(dataset, ShardFormat::kChecksum, std::span(&hash, 1));
}

}  // namespace

// Raw images of one size are written to their place block by block. For others, a contiguous
// dataset needs the total length at the start, but it is known only at the end: their bytes wait in
// a spool file beside the shard.
struct ShardWriter::Impl {
  Impl(std::filesystem::path path, ShardSpec shard)
      : target(std::move(path)), spec(std::move(shard)) {}

  AtomicFile target;
  h5::StreamedFile stream{target, h5::FileLayout::pages};
  const h5::Handle& file = stream.handle();
  std::optional<TemporaryFile> spool_file;
  ShardSpec spec;
  h5::Handle images;
  std::ofstream spool;
  std::vector<std::byte> block;  // bytes of the samples since the last checksum
  std::vector<std::uint64_t> hashes;
  std::vector<std::uint64_t> offsets{0};
  std::vector<std::int32_t> sizes;
  std::vector<std::int64_t> labels;
  SampleNames names;
  std::int64_t appended = 0;

  void write_identity() {
    h5::write_attribute(file, "format", std::string(ShardFormat::kFormat));
    h5::write_attribute(file, "version", ShardFormat::kVersion);
    h5::write_attribute(file, "name", spec.name);
    h5::write_attribute(file, "encoding",
                        std::string(spec.encoding == ImageEncoding::raw ? "raw" : "jpeg"));
    if (!spec.class_names.empty()) h5::write_attribute(file, "class_names", spec.class_names);
  }

  void end_block() {
    if (block.empty()) return;
    const std::int64_t in_block = block_samples(spec.samples);
    const std::int64_t first = (appended - 1) / in_block * in_block;
    hashes.push_back(hash64(block));
    if (images) {
      h5::write_rows(images, H5T_NATIVE_UINT8, {static_cast<hsize_t>(first)},
                     static_cast<hsize_t>(appended - first), block.data());
      stream.require_written();
    } else {
      spool.write(reinterpret_cast<const char*>(block.data()),
                  static_cast<std::streamsize>(block.size()));
      if (!spool) fail_for(Cause::io, "cannot be written (is the disk full?)");
    }
    block.clear();
  }

  void write_spooled_bytes() {
    spool.close();
    const h5::Handle bytes = h5::create_dataset(file, "bytes", H5T_NATIVE_UINT8, {offsets.back()});
    std::ifstream in(spool_file->path(), std::ios::binary);
    constexpr std::size_t kCopyBytes = std::size_t{16} << 20;
    std::vector<char> buffer(kCopyBytes);
    for (std::uint64_t at = 0; at < offsets.back(); at += kCopyBytes) {
      const auto count = std::min<std::uint64_t>(kCopyBytes, offsets.back() - at);
      if (!in.read(buffer.data(), static_cast<std::streamsize>(count))) {
        fail_for(Cause::io, "cannot read back {}", spool_file->path().string());
      }
      h5::write_rows(bytes, H5T_NATIVE_UINT8, {at}, count, buffer.data());
      stream.require_written();
    }
    write_checksums(bytes);
    write_with_checksum<std::uint64_t>(file, "offsets", offsets);
    write_with_checksum<std::int32_t>(file, "sizes", sizes,
                                      {static_cast<hsize_t>(spec.samples), 2});
  }

  void write_names() {
    const std::string& bytes = names.bytes();
    write_with_checksum(
        file, "names",
        std::span(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()));
    write_with_checksum<std::uint64_t>(file, "name_offsets", names.offsets());
  }

  void write_checksums(const h5::Handle& dataset) {
    h5::write_attribute(dataset, ShardFormat::kChecksum, hashes);
    h5::write_attribute(dataset, ShardFormat::kChecksumBlock, block_samples(spec.samples));
  }
};

ShardWriter::ShardWriter(std::filesystem::path path, ShardSpec spec)
    : impl_(std::make_unique<Impl>(std::move(path), std::move(spec))) {
  h5::naming_file(impl_->target.target(), [this] { impl_->write_identity(); });
  if (const auto size = impl_->spec.fixed_size;
      size && impl_->spec.encoding == ImageEncoding::raw) {
    impl_->images = h5::create_dataset(
        impl_->file, "images", H5T_NATIVE_UINT8,
        {static_cast<hsize_t>(impl_->spec.samples), static_cast<hsize_t>(size->height),
         static_cast<hsize_t>(size->width), 3});
  } else {
    const auto& spool_path =
        impl_->spool_file.emplace(impl_->target.target().string() + ".spool").path();
    impl_->spool.open(spool_path, std::ios::binary | std::ios::trunc);
    if (!impl_->spool) fail_for(Cause::io, "{}: cannot be created", spool_path.string());
  }
}

ShardWriter::ShardWriter(ShardWriter&&) noexcept = default;
ShardWriter& ShardWriter::operator=(ShardWriter&&) noexcept = default;
ShardWriter::~ShardWriter() = default;

void ShardWriter::append(std::span<const std::byte> bytes, int height, int width,
                         std::int64_t label, std::string_view name) {
  Impl& me = *impl_;
  require(me.appended < me.spec.samples,
          "append() must not be called more often than spec.samples");
  require(!me.images || *me.spec.fixed_size == ShardSpec::Size{height, width},
          "the image must have the size spec.fixed_size");
  require(
      me.spec.encoding == ImageEncoding::jpeg ||
          bytes.size() == static_cast<std::size_t>(height) * static_cast<std::size_t>(width) * 3,
      "a raw image must have 3*height*width bytes");
  me.block.insert(me.block.end(), bytes.begin(), bytes.end());
  me.offsets.push_back(me.offsets.back() + bytes.size());
  me.sizes.insert(me.sizes.end(), {height, width});
  me.labels.push_back(label);
  if (me.spec.named) me.names.append(name);
  ++me.appended;
  if (me.appended % block_samples(me.spec.samples) == 0 || me.appended == me.spec.samples) {
    h5::naming_file(me.target.target(), [&me] { me.end_block(); });
  }
}

void ShardWriter::complete() {
  Impl& me = *impl_;
  require(me.appended == me.spec.samples,
          "spec.samples samples must be appended before complete()");
  h5::naming_file(me.target.target(), [&me] {
    if (me.images) {
      me.write_checksums(me.images);
    } else {
      me.write_spooled_bytes();
    }
    if (me.spec.labeled) write_with_checksum<std::int64_t>(me.file, "labels", me.labels);
    if (me.spec.named) me.write_names();
    me.images = {};
    me.stream.close();
  });
  me.target.sync();
}

void ShardWriter::publish() {
  require(!impl_->file, "complete() must precede publish()");
  impl_->target.publish();
}

void require_storable(const std::vector<std::string>& class_names) {
  std::uint64_t bytes = 0;
  for (const std::string& name : class_names) bytes += name.size();
  if (class_names.size() <= h5::kMostTexts && bytes <= h5::kMostTextBytes) return;
  refuse("{} class names take {} bytes; a shard has at most {} of {} bytes: use shorter names",
         class_names.size(), bytes, h5::kMostTexts, h5::kMostTextBytes);
}

std::optional<std::string> set_of_shard(const std::string& file) {
  static const std::regex pattern("(.+)-[0-9]{5,}-of-[0-9]{5,}\\.h5");
  std::smatch match;
  if (!std::regex_match(file, match, pattern)) return std::nullopt;
  return match[1];
}

std::string shard_file_name(const std::string& name, std::int64_t shard, std::int64_t shards) {
  return fmt::format("{}-{:05d}-of-{:05d}.h5", name, shard, shards);
}

}  // namespace simclr
