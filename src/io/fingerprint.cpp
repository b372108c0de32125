#include "simclr/io/fingerprint.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <optional>
#include <span>
#include <sstream>
#include <utility>
#include <vector>

#include "simclr/comm/session.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/hash.hpp"
#include "simclr/core/system.hpp"
#include "simclr/io/image_file.hpp"

namespace simclr {
namespace {

// Changing these numbers changes the fingerprint of every data set.
constexpr std::uint64_t kMostBytes = std::uint64_t{16} << 20;
constexpr std::int64_t kSpreadSamples = 64;

constexpr std::int64_t kMostDecodedPixels = std::int64_t{1} << 26;  // about a second

template <class T>
std::string hash_of(const std::vector<T>& values) {
  return to_hex(hash64(std::as_bytes(std::span(values))));
}

std::string image_text(const ShardSetInfo& info) {
  const char* encoding = info.encoding == ImageEncoding::raw ? "raw" : "jpeg";
  return info.fixed_size ? fmt::format("{} {}x{}", encoding, info.height, info.width) : encoding;
}

std::string sizes_hash(const ShardSet& set) {
  if (set.info().fixed_size) return "equal";
  std::vector<std::uint64_t> sizes;
  sizes.reserve(static_cast<std::size_t>(3 * set.info().samples));
  for (std::int64_t sample = 0; sample < set.info().samples; ++sample) {
    const ShardSet::Extent extent = set.extent(sample);
    sizes.insert(sizes.end(), {extent.bytes, static_cast<std::uint64_t>(extent.height),
                               static_cast<std::uint64_t>(extent.width)});
  }
  return hash_of(sizes);
}

/// Appends samples [first, first + count) to `bytes`.
void append(const ShardSet& set, std::int64_t first, std::int64_t count,
            std::vector<std::byte>& bytes) {
  const std::uint64_t added = set.stored_bytes(first, count);
  bytes.resize(bytes.size() + added);
  set.read(first, count, std::span(bytes).last(added));
}

std::string pixels_hash(const ShardSet& set) {
  const std::int64_t samples = set.info().samples;
  const std::uint64_t total = set.stored_bytes(0, samples);
  std::vector<std::byte> bytes;
  if (total <= kMostBytes) {
    append(set, 0, samples, bytes);
  } else {
    const std::uint64_t mean = total / static_cast<std::uint64_t>(samples);
    const auto fitting = static_cast<std::int64_t>(kMostBytes / std::max<std::uint64_t>(mean, 1));
    const std::int64_t count =
        std::min(samples, std::clamp<std::int64_t>(fitting, 1, kSpreadSamples));
    for (std::int64_t i = 0; i < count; ++i) append(set, samples * i / count, 1, bytes);
  }
  return hash_of(bytes);
}

/// Decodes some encoded images, spread over the set: refuses one of which training would fail.
void require_decodable(const ShardSet& set) {
  const ShardSetInfo& info = set.info();
  if (info.encoding == ImageEncoding::raw) return;
  const std::int64_t count = std::min(info.samples, kSpreadSamples);
  std::vector<std::byte> bytes;
  Image image;
  std::int64_t pixels = 0;
  for (std::int64_t i = 0; i < count && pixels < kMostDecodedPixels; ++i) {
    const std::int64_t sample = info.samples * i / count;
    const ShardSet::Extent extent = set.extent(sample);
    bytes.clear();
    append(set, sample, 1, bytes);
    try {
      decode_stored_image(bytes, extent.height, extent.width, image);
    } catch (const Error& error) {
      refuse("{}: {}; repair or replace the image", info.place_of(sample), error.what());
    }
    pixels += std::int64_t{extent.height} * extent.width;
  }
}

struct Field {
  const char* name;
  std::string Fingerprint::*text;
};
constexpr std::array kTexts{
    Field{"images", &Fingerprint::images},     Field{"sizes", &Fingerprint::sizes},
    Field{"labels", &Fingerprint::labels},     Field{"pixels", &Fingerprint::pixels},
    Field{"division", &Fingerprint::division}, Field{"checksums", &Fingerprint::checksums}};

/// A rank's fingerprint, or why it has none.
struct OfRank {
  std::string text, problem;
};

/// Opens the set and gathers what all ranks found; a rank without a fingerprint sends the reason.
std::vector<OfRank> gather(const std::filesystem::path& data, std::optional<ShardSet>& set,
                           Communicator& world) {
  OfRank own;
  const auto node = ranks_of_node(world);
  try {
    set = ShardSet::open_on_node(data, *node);
    require_decodable(*set);
    own.text = to_text(fingerprint_of(*set));
  } catch (const RefusedError& error) {
    own.problem = error.what();
  } catch (const DamagedError& error) {
    own.problem = error.what();
  }
  const std::vector<std::string> texts = gather_texts(world, own.text);
  const std::vector<std::string> problems = gather_texts(world, own.problem);
  std::vector<OfRank> all(texts.size());
  for (std::size_t rank = 0; rank < all.size(); ++rank) all[rank] = {texts[rank], problems[rank]};
  return all;
}

/// "rank 1 on n2 (samples 40 -> 80)", with the difference from rank 0's set.
std::string describe_other(std::size_t rank, const std::string& host, const OfRank& other,
                           const Fingerprint& first) {
  const std::string what =
      other.problem.empty() ? difference(first, parse_fingerprint(other.text, "")) : other.problem;
  return fmt::format("rank {} on {} ({})", rank, host, what);
}

}  // namespace

Fingerprint fingerprint_of(const ShardSet& set) {
  const ShardSetInfo& info = set.info();
  Fingerprint result{.samples = info.samples,
                     .images = image_text(info),
                     .sizes = sizes_hash(set),
                     .labels = info.labeled            ? hash_of(set.labels())
                               : info.mark_columns > 0 ? hash_of(set.marks())
                                                       : "none",
                     .pixels = pixels_hash(set)};
  const auto [division, checksums] = set.stored_checksums();
  if (!division.empty()) {
    result.division = hash_of(division);
    result.checksums = hash_of(checksums);
  }
  return result;
}

std::string difference(const Fingerprint& before, const Fingerprint& after) {
  std::vector<std::string> found;
  const auto compare = [&](const char* name, const std::string& was, const std::string& is) {
    if (was != is) found.push_back(fmt::format("{} {} -> {}", name, was, is));
  };
  compare("samples", std::to_string(before.samples), std::to_string(after.samples));
  compare("images", before.images, after.images);
  // Sets of different length or encoding differ in all hashes, which tells nothing more.
  if (!found.empty()) return fmt::format("{}", fmt::join(found, ", "));
  const bool same_division = before.division == after.division && before.division != "none";
  if (before.sizes != after.sizes) {
    found.emplace_back("other image sizes");
  } else if (before.pixels != after.pixels ||
             (same_division && before.checksums != after.checksums)) {
    found.emplace_back("other pixels");
  }
  if (before.labels != after.labels) {
    const bool added = before.labels == "none";
    const bool removed = after.labels == "none";
    found.emplace_back(added ? "labels added" : removed ? "labels removed" : "other labels");
  }
  return fmt::format("{}", fmt::join(found, ", "));
}

std::string to_text(const Fingerprint& fingerprint) {
  std::string text = fmt::format("samples {}\n", fingerprint.samples);
  for (const Field& field : kTexts) {
    text += fmt::format("{} {}\n", field.name, fingerprint.*field.text);
  }
  return text;
}

std::string hash_text(const Fingerprint& fingerprint) {
  const std::string text = to_text(fingerprint);
  return to_hex(hash64(std::as_bytes(std::span(text))));
}

Fingerprint parse_fingerprint(const std::string& text, const std::string& origin) {
  Fingerprint fingerprint;
  std::istringstream in(text);
  const auto value_of = [&](const std::string& name) {
    std::string line;
    if (!std::getline(in, line) || !line.starts_with(name + " ")) {
      refuse("{}: its description of the training data lacks '{}'", origin, name);
    }
    return line.substr(name.size() + 1);
  };
  const std::string samples = value_of("samples");
  const char* end = samples.data() + samples.size();
  if (std::from_chars(samples.data(), end, fingerprint.samples).ptr != end) {
    refuse("{}: its description of the training data has '{}' samples", origin, samples);
  }
  for (const Field& field : kTexts) fingerprint.*field.text = value_of(field.name);
  return fingerprint;
}

CommonData open_common(const std::filesystem::path& data, const std::string& option,
                       Communicator& world) {
  std::optional<ShardSet> set;
  const std::vector<OfRank> all = gather(data, set, world);
  const std::vector<std::string> hosts = gather_texts(world, host_name());
  // The others are compared with the first rank that can read the set.
  const auto readable =
      std::ranges::find_if(all, [](const OfRank& one) { return one.problem.empty(); });
  if (readable == all.end()) refuse("{}", all.front().problem);
  Fingerprint first = parse_fingerprint(readable->text, data.string());
  std::vector<std::string> others;
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    if (all[rank].text == readable->text) continue;
    others.push_back(describe_other(rank, hosts[rank], all[rank], first));
  }
  if (!others.empty()) {
    const auto rank = static_cast<std::size_t>(readable - all.begin());
    refuse(
        "option --{}: {} does not hold the same data on all ranks: unlike rank {} on {}, {}; copy "
        "the data set again to every node",
        option, data.string(), rank, hosts[rank], fmt::join(others, ", "));
  }
  return {*std::move(set), std::move(first)};
}

}  // namespace simclr
