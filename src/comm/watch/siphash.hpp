#pragma once
// SipHash-2-4 with a result of 128 bits: a message authentication code for short messages. Only who
// knows the key can compute it. J.-P. Aumasson, D. J. Bernstein: SipHash: a fast short-input PRF
// (2012). It is here, and not HMAC of a cryptographic library, because no library that the program
// already needs has such a code.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace simclr::watch {

using Bits128 = std::array<std::uint64_t, 2>;

Bits128 siphash(const Bits128& key, std::span<const std::byte> message);

}  // namespace simclr::watch
