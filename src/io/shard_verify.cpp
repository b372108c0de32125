#include "simclr/io/shard_set.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "shard_file.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/hash.hpp"
#include "simclr/io/first_look.hpp"

namespace simclr {
namespace {

/// Reads all attributes that a Verifier reads.
void read_checksums(const std::filesystem::path& path) {
  const h5::Handle file = h5::open_file(path);
  for (const char* name : {"images", "bytes", "labels", "offsets", "sizes"}) {
    if (!h5::has_link(file, name)) continue;
    const h5::Handle dataset = h5::open_dataset(file, name);
    (void)h5::read_words(dataset, ShardFormat::kChecksum);
    (void)h5::read_integer(dataset, ShardFormat::kChecksumBlock);
  }
}

class Verifier {
 public:
  explicit Verifier(ShardDescription shard)
      : shard_(std::move(shard)), file_(h5::open_file(shard_.path)) {}

  VerifyReport verify() {
    verify_pixels();
    verify_whole<std::int64_t>("labels");
    if (!shard_.fixed_size) {
      verify_whole<std::uint64_t>("offsets");
      verify_whole<std::int32_t>("sizes");
    }
    return std::move(report_);
  }

 private:
  [[nodiscard]] std::string place(const std::string& dataset) const {
    return fmt::format("{}: '{}'", shard_.path.string(), dataset);
  }

  void compare(const std::string& what, std::span<const std::byte> bytes, std::uint64_t expected) {
    report_.bytes += bytes.size();
    ++report_.blocks;
    const std::uint64_t found = hash64(bytes);
    if (found != expected) {
      report_.problems.push_back(fmt::format("{}: checksum {}, but {} is recorded", what,
                                             to_hex(found), to_hex(expected)));
    }
  }

  void verify_pixels() {
    const std::string name = shard_.pixels_name();
    const h5::Handle dataset = h5::open_dataset(file_, name);
    const std::vector<std::uint64_t> hashes = h5::read_words(dataset, ShardFormat::kChecksum);
    const std::int64_t block = h5::read_integer(dataset, ShardFormat::kChecksumBlock).value_or(0);
    if (hashes.empty() || block <= 0) {
      report_.unchecked.push_back(place(name));
      return;
    }
    const auto blocks =
        static_cast<std::size_t>(shard_.samples / block + (shard_.samples % block > 0 ? 1 : 0));
    if (hashes.size() != blocks) {
      report_.problems.push_back(fmt::format("{}: {} checksums for {} blocks of {} samples",
                                             place(name), hashes.size(), blocks, block));
      return;
    }
    const std::vector<ShardDescription> only{shard_};
    ShardReader reader(only, 1);
    std::vector<std::byte> bytes;
    for (std::size_t b = 0; b < blocks; ++b) {
      const std::int64_t first = static_cast<std::int64_t>(b) * block;
      const std::int64_t count = std::min(block, shard_.samples - first);
      bytes.resize(shard_.byte_offset(first + count) - shard_.byte_offset(first));
      reader.read(0, first, count, bytes);
      compare(
          fmt::format("{} block {} (samples {} to {})", place(name), b, first, first + count - 1),
          bytes, hashes[b]);
    }
  }

  template <class T>
  void verify_whole(const std::string& name) {
    if (!h5::has_link(file_, name)) return;
    const auto hashes = h5::read_words(h5::open_dataset(file_, name), ShardFormat::kChecksum);
    if (hashes.size() != 1) {
      report_.unchecked.push_back(place(name));
      return;
    }
    const std::vector<T> values = h5::read_dataset<T>(file_, name);
    compare(place(name), std::as_bytes(std::span(values)), hashes.front());
  }

  ShardDescription shard_;
  h5::Handle file_;
  VerifyReport report_;
};

}  // namespace

VerifyReport verify_shard(const std::filesystem::path& path) {
  ShardDescription shard = describe_shard(path);
  look_first(path, read_checksums);
  const auto lock = h5::lock_library();
  return Verifier(std::move(shard)).verify();
}

}  // namespace simclr
