#pragma once
// Counter-based random numbers: Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as
// 1, 2, 3", SC11). Every number is a pure function of its key and counter and does not depend on
// ranks, threads or restarts.

#include <array>
#include <cstdint>

namespace simclr {

using PhiloxBlock = std::array<std::uint32_t, 4>;

/// The ten-round bijection: returns four random words for a (key, counter) pair.
inline PhiloxBlock philox4x32(std::uint64_t key, PhiloxBlock counter) {
  auto k0 = static_cast<std::uint32_t>(key);
  auto k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * counter[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * counter[2];
    counter = {
        static_cast<std::uint32_t>(p1 >> 32) ^ counter[1] ^ k0, static_cast<std::uint32_t>(p1),
        static_cast<std::uint32_t>(p0 >> 32) ^ counter[3] ^ k1, static_cast<std::uint32_t>(p0)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return counter;
}

/// Uniform in [0, 1) with 24 random bits, so that every value is an exact float.
inline float uniform_from_bits(std::uint32_t bits) {
  return static_cast<float>(bits >> 8) * 0x1.0p-24f;
}

/// The purpose of a stream. Never renumber: the results of a run depend on these numbers.
enum class RandomPurpose : std::uint32_t {
  kShuffle = 1,
  kInitialization = 2,
  kLabels = 3,
  kMonitor = 4,
  kCrop = 16,
  kFlip = 17,
  kColorJitter = 18,
  kGray = 19,
  kBlur = 20,
  kBaseCrop = 21,
  kCropChance = 22,
  kCutout = 23,
  kRotate = 24,
  kNoise = 25,
  kSobel = 26,
  kSolarize = 27,
  kEqualize = 28,
};

/// Reads one Philox stream, identified by (seed, purpose, a, b), in order:
/// key = seed; counter words = (draw block, purpose, a, b).
class PhiloxStream {
 public:
  PhiloxStream(std::uint64_t seed, RandomPurpose purpose, std::uint32_t a, std::uint32_t b)
      : seed_(seed), counter_{0, static_cast<std::uint32_t>(purpose), a, b} {}

  /// Goes on with word number `word` of the stream, counted from 0.
  void go_to(std::uint64_t word) {
    counter_[0] = static_cast<std::uint32_t>(word / 4);
    used_ = 4;
    for (std::uint64_t i = 0; i < word % 4; ++i) (void)next_bits();
  }
  // Inlined, so that compilers see which words begin a block and keep the stream in registers.
  [[gnu::always_inline]] std::uint32_t next_bits() {
    if (used_ == 4) {
      block_ = philox4x32(seed_, counter_);
      ++counter_[0];
      used_ = 0;
    }
    return block_[used_++];
  }
  [[gnu::always_inline]] float uniform() { return uniform_from_bits(next_bits()); }
  [[gnu::always_inline]] float uniform(float low, float high) {
    return low + (high - low) * uniform();
  }
  /// Uniform integer in [0, bound), bound >= 1; unbiased to 2^-32 (multiply-shift).
  [[gnu::always_inline]] std::uint32_t below(std::uint32_t bound) {
    return static_cast<std::uint32_t>((std::uint64_t{next_bits()} * bound) >> 32);
  }

 private:
  std::uint64_t seed_;
  PhiloxBlock counter_;
  PhiloxBlock block_{};
  unsigned used_ = 4;
};

}  // namespace simclr
