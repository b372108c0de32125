#pragma once
// The identity of a data set: what it holds, whatever its path and the names of its shards.

#include <cstdint>
#include <filesystem>
#include <string>

#include "simclr/comm/communicator.hpp"
#include "simclr/io/shard_set.hpp"

namespace simclr {

/// Equal for copies of a data set, also for copies with other numbers of samples a shard.
struct Fingerprint {
  std::int64_t samples = 0;
  std::string images;  ///< how they are stored, such as "raw 32x32"
  std::string sizes;   ///< hash of every image's size; "equal" if all have the same
  std::string labels;  ///< hash of all labels, or "none"
  /// Hash of stored bytes: of all samples of a small set, else of 64 evenly spread ones.
  std::string pixels;
  /// The number of samples of each shard and block, and the checksums stored for them; "none" if a
  /// shard has none. Compared only between sets that are divided in the same way.
  std::string division = "none", checksums = "none";
};

/// Reads at most 16 MiB of the images.
Fingerprint fingerprint_of(const ShardSet& set);

/// What differs, such as "samples 40 -> 80" or "other pixels"; empty if nothing does.
std::string difference(const Fingerprint& before, const Fingerprint& after);

/// One line for each value, "NAME VALUE"; the inverse throws RefusedError naming `origin`.
std::string to_text(const Fingerprint& fingerprint);
/// A hash of that text, with which results and predictions name their data.
std::string hash_text(const Fingerprint& fingerprint);
Fingerprint parse_fingerprint(const std::string& text, const std::string& origin);

/// A data set that all ranks read, open on this one.
struct CommonData {
  ShardSet set;
  Fingerprint fingerprint;
};
/// Opens a data set on all ranks. Refuses one that differs between ranks, such as unequal copies in
/// node-local storage, naming `option`, ranks and hosts, and one of which the first look at some
/// samples finds damage, naming the shard. Collective.
CommonData open_common(const std::filesystem::path& data, const std::string& option,
                       Communicator& world);

}  // namespace simclr
