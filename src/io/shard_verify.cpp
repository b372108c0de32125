#include "simclr/io/shard_set.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "shard_file.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/hash.hpp"
#include "simclr/io/first_look.hpp"
#include "simclr/io/image_file.hpp"

namespace simclr {
namespace {

/// Reads all attributes that a Verifier reads.
void read_checksums(const std::filesystem::path& path) {
  const h5::Handle file = h5::open_file(path);
  for (const char* name :
       {"images", "bytes", "labels", "offsets", "sizes", "names", "name_offsets"}) {
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
    if (shard_.named) {
      verify_whole<std::uint8_t>("names");
      verify_whole<std::uint64_t>("name_offsets");
    }
    return std::move(report_);
  }

 private:
  [[nodiscard]] std::string place(const std::string& dataset) const {
    return fmt::format("{}: '{}'", shard_.path.string(), dataset);
  }

  bool compare(const std::string& what, std::span<const std::byte> bytes, std::uint64_t expected) {
    report_.bytes += bytes.size();
    ++report_.blocks;
    const std::uint64_t found = hash64(bytes);
    if (found == expected) return true;
    report_.problems.push_back(
        fmt::format("{}: checksum {}, but {} is recorded", what, to_hex(found), to_hex(expected)));
    return false;
  }

  void verify_pixels() {
    const std::string name = shard_.pixels_name();
    const h5::Handle dataset = h5::open_dataset(file_, name);
    std::vector<std::uint64_t> hashes = h5::read_words(dataset, ShardFormat::kChecksum);
    std::int64_t block = h5::read_integer(dataset, ShardFormat::kChecksumBlock).value_or(0);
    if (hashes.empty() || block <= 0) {
      report_.unchecked.push_back(place(name));
      hashes.clear();
    } else if (const std::int64_t blocks = blocks_of(block); std::ssize(hashes) != blocks) {
      report_.problems.push_back(fmt::format("{}: {} checksums for {} blocks of {} samples",
                                             place(name), hashes.size(), blocks, block));
      hashes.clear();
    }
    if (hashes.empty()) block = samples_at_once();
    for (std::int64_t b = 0; b < blocks_of(block); ++b) {
      const std::int64_t first = b * block;
      const std::int64_t count = std::min(block, shard_.samples - first);
      const std::string what =
          fmt::format("{} block {} (samples {} to {})", place(name), b, first, first + count - 1);
      verify_block(first, count, what,
                   hashes.empty() ? nullptr : &hashes[static_cast<std::size_t>(b)]);
    }
    report_damage();
  }

  [[nodiscard]] std::int64_t blocks_of(std::int64_t block) const {
    return shard_.samples / block + (shard_.samples % block > 0 ? 1 : 0);
  }

  /// A number of samples that takes moderate memory.
  [[nodiscard]] std::int64_t samples_at_once() const {
    constexpr std::uint64_t kBytes = std::uint64_t{64} << 20;
    const auto samples = static_cast<std::uint64_t>(std::max<std::int64_t>(shard_.samples, 1));
    const std::uint64_t mean = bytes_of(0, shard_.samples) / samples;
    return static_cast<std::int64_t>(std::clamp<std::uint64_t>(kBytes / (mean + 1), 1, samples));
  }

  [[nodiscard]] std::size_t bytes_of(std::int64_t first, std::int64_t count) const {
    return shard_.byte_offset(first + count) - shard_.byte_offset(first);
  }

  /// `checksum` is null if the block has none.
  void verify_block(std::int64_t first, std::int64_t count, const std::string& what,
                    const std::uint64_t* checksum) {
    std::vector<std::byte> bytes(bytes_of(first, count));
    const std::size_t damaged = damage_.size();
    const std::uint64_t readable = read(first, count, bytes);
    bool right = false;
    if (checksum != nullptr && damage_.size() == damaged) {
      right = compare(what, bytes, *checksum);
    } else {
      report_.unchecked_bytes += readable;
    }
    if (right || shard_.encoding == ImageEncoding::raw) return;
    auto lost = damage_.begin() + static_cast<std::ptrdiff_t>(damaged);
    for (std::int64_t sample = first; sample < first + count; ++sample) {
      if (lost != damage_.end() && lost->sample == sample) {
        ++lost;
        continue;
      }
      decode(sample,
             std::span(bytes).subspan(bytes_of(first, sample - first), bytes_of(sample, 1)));
    }
  }

  /// Reads samples, and where that fails, those of them that can be read. Returns their bytes.
  std::uint64_t read(std::int64_t first, std::int64_t count, std::span<std::byte> out) {
    try {
      reader_.read(0, first, count, out);
      return out.size();
    } catch (const DamagedError& error) {
      if (count == 1) {
        damage_.push_back({first, error.what()});
        return 0;
      }
    }
    const std::int64_t half = count / 2;
    return read(first, half, out.first(bytes_of(first, half))) +
           read(first + half, count - half, out.subspan(bytes_of(first, half)));
  }

  void decode(std::int64_t sample, std::span<const std::byte> bytes) {
    const auto at = static_cast<std::size_t>(2 * sample);
    try {
      decode_stored_image(bytes, shard_.sizes[at], shard_.sizes[at + 1], image_);
      ++report_.decoded;
    } catch (const Error& error) {
      report_.problems.push_back(fmt::format("{}: sample {} of this shard: {}",
                                             shard_.path.string(), sample, error.what()));
    }
  }

  /// Names samples that follow each other together.
  void report_damage() {
    for (std::size_t i = 0; i < damage_.size();) {
      const auto& [first, reason] = damage_[i];
      std::int64_t last = first;
      for (++i; i < damage_.size() && damage_[i].sample == last + 1; ++i) ++last;
      report_.problems.push_back(
          fmt::format("{} (samples {} to {} of this shard)", reason, first, last));
    }
  }

  template <class T>
  void verify_whole(const std::string& name) {
    if (!h5::has_link(file_, name)) return;
    const h5::Handle dataset = h5::open_dataset(file_, name);
    const std::vector<std::uint64_t> hashes = h5::read_words(dataset, ShardFormat::kChecksum);
    const std::vector<T> values = h5::read_dataset<T>(dataset);
    const auto bytes = std::as_bytes(std::span(values));
    if (hashes.size() == 1) {
      compare(place(name), bytes, hashes.front());
    } else {
      report_.unchecked.push_back(place(name));
      report_.unchecked_bytes += bytes.size();
    }
  }

  /// A sample that cannot be read.
  struct Damage {
    std::int64_t sample = 0;
    std::string reason;
  };

  ShardDescription shard_;
  h5::Handle file_;
  std::vector<ShardDescription> only_{shard_};
  ShardReader reader_{only_, 1};
  Image image_;
  std::vector<Damage> damage_;
  VerifyReport report_;
};

}  // namespace

VerifyReport verify_shard(const std::filesystem::path& path) {
  ShardDescription shard = describe_shard(path);
  look_first(path, read_checksums);
  if (shard.named) (void)read_shard_names(shard);
  const auto lock = h5::lock_library();
  return Verifier(std::move(shard)).verify();
}

}  // namespace simclr
