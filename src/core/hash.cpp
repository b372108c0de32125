#include "simclr/core/hash.hpp"

#include <fmt/format.h>
#include <xxhash.h>

namespace simclr {

std::uint64_t hash64(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

std::string to_hex(std::uint64_t hash) { return fmt::format("{:016x}", hash); }

}  // namespace simclr
