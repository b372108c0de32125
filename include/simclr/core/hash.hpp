#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace simclr {

/// XXH3 64-bit of a byte range (seed 0).
std::uint64_t hash64(std::span<const std::byte> bytes);

/// Formats a hash as sixteen lower-case hexadecimal digits.
std::string to_hex(std::uint64_t hash);

}  // namespace simclr
