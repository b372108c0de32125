#include "siphash.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace simclr::watch {
namespace {

static_assert(std::endian::native == std::endian::little, "words are read as they are stored");

struct SipHashState {
  std::uint64_t v0, v1, v2, v3;

  void rounds(int count) {
    for (int i = 0; i < count; ++i) {
      v0 += v1;
      v1 = std::rotl(v1, 13) ^ v0;
      v0 = std::rotl(v0, 32);
      v2 += v3;
      v3 = std::rotl(v3, 16) ^ v2;
      v0 += v3;
      v3 = std::rotl(v3, 21) ^ v0;
      v2 += v1;
      v1 = std::rotl(v1, 17) ^ v2;
      v2 = std::rotl(v2, 32);
    }
  }
  void take(std::uint64_t word) {
    constexpr int kRoundsPerWord = 2;
    v3 ^= word;
    rounds(kRoundsPerWord);
    v0 ^= word;
  }
  std::uint64_t finish() {
    constexpr int kLastRounds = 4;
    rounds(kLastRounds);
    return v0 ^ v1 ^ v2 ^ v3;
  }
};

}  // namespace

Bits128 siphash(const Bits128& key, std::span<const std::byte> message) {
  constexpr std::uint64_t kLongResult = 0xee;
  SipHashState state{.v0 = 0x736f6d6570736575 ^ key[0],
                     .v1 = 0x646f72616e646f6d ^ key[1] ^ kLongResult,
                     .v2 = 0x6c7967656e657261 ^ key[0],
                     .v3 = 0x7465646279746573 ^ key[1]};
  const std::uint64_t length = message.size();
  std::uint64_t word = 0;
  for (; message.size() >= sizeof(word); message = message.subspan(sizeof(word))) {
    std::memcpy(&word, message.data(), sizeof(word));
    state.take(word);
  }
  word = length << 56;
  for (std::size_t i = 0; i < message.size(); ++i) {
    word |= std::to_integer<std::uint64_t>(message[i]) << (8 * i);
  }
  state.take(word);
  state.v2 ^= kLongResult;
  const std::uint64_t low = state.finish();
  constexpr std::uint64_t kSecondHalf = 0xdd;
  state.v1 ^= kSecondHalf;
  return {low, state.finish()};
}

}  // namespace simclr::watch
