#pragma once
// Arithmetic on numbers that a file gives, which may be anything.

#include <cstdint>
#include <limits>
#include <optional>
#include <ranges>
#include <utility>

namespace simclr {

/// The product of all factors. Empty when a factor is negative or when the product of the first
/// factors, for any number of them, exceeds `most`: a factor of 0 hides no overflow before it.
template <std::ranges::input_range Factors>
[[nodiscard]] std::optional<std::uint64_t> checked_product(
    const Factors& factors, std::uint64_t most = std::numeric_limits<std::uint64_t>::max()) {
  std::uint64_t product = 1;
  for (const auto factor : factors) {
    if (std::cmp_less(factor, 0) || __builtin_mul_overflow(product, factor, &product) ||
        product > most) {
      return std::nullopt;
    }
  }
  return product;
}

/// Whether bytes [offset, offset + count) lie within the first `size` bytes.
[[nodiscard]] constexpr bool lies_within(std::uint64_t offset, std::uint64_t count,
                                         std::uint64_t size) {
  return offset <= size && count <= size - offset;
}

}  // namespace simclr
