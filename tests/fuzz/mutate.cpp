#include "mutate.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <random>

namespace simclr::fuzz {
namespace {

constexpr std::size_t kMostBytes = std::size_t{1} << 18;
constexpr std::uint64_t kAllOnes = ~std::uint64_t{0};
/// Numbers at which lengths, counts and signs go wrong.
constexpr std::array<std::uint64_t, 14> kNumbers{0,
                                                 1,
                                                 2,
                                                 0x7F,
                                                 0xFF,
                                                 0x7FFF,
                                                 0xFFFF,
                                                 0x10000,
                                                 0x7FFFFFFF,
                                                 0x80000000,
                                                 0xFFFFFFFF,
                                                 std::uint64_t{1} << 32,
                                                 std::uint64_t{1} << 62,
                                                 kAllOnes};
constexpr std::array<const char*, 12> kNumberTexts{"0",
                                                   "-1",
                                                   "7",
                                                   "2147483648",
                                                   "4294967297",
                                                   "9223372036854775807",
                                                   "18446744073709551616",
                                                   "nan",
                                                   "1e999",
                                                   "1e-999",
                                                   "1.5",
                                                   "null"};

class Mutator {
 public:
  Mutator(const Corpus& corpus, std::uint64_t index) : corpus_(corpus), random_(index) {}

  std::string variant() {
    bytes_ = corpus_.seeds[below(corpus_.seeds.size())];
    const std::size_t changes = std::size_t{1} << below(4);
    for (std::size_t i = 0; i < changes; ++i) change();
    bytes_.resize(std::min(bytes_.size(), kMostBytes));
    return std::move(bytes_);
  }

 private:
  /// A number from 0 to count - 1. The remainder's bias does not matter here.
  std::size_t below(std::size_t count) { return count == 0 ? 0 : random_() % count; }

  void change() {
    if (bytes_.empty()) return insert();
    switch (below(10)) {
      case 0:
        byte() ^= static_cast<char>(1U << below(8));
        return;
      case 1:
        byte() = static_cast<char>(random_());
        return;
      case 2:
      case 3:
        return write_number();
      case 4:
        return add_to_number();
      case 5:
        return remove();
      case 6:
        return repeat();
      case 7:
        return insert();
      case 8:
        return splice();
      default:
        return replace_digits();
    }
  }

  char& byte() { return bytes_[below(bytes_.size())]; }

  std::size_t length() {
    constexpr std::array<std::size_t, 4> kLengths{4, 16, 64, 4096};
    return 1 + below(kLengths[below(kLengths.size())]);
  }

  /// Bytes of a number of 1 to 8 bytes in either byte order.
  static std::string number_bytes(std::uint64_t number, std::size_t size, bool big_endian) {
    std::string bytes;
    for (std::size_t i = 0; i < size; ++i) bytes += static_cast<char>(number >> (8 * i));
    if (big_endian) std::ranges::reverse(bytes);
    return bytes;
  }

  void overwrite(std::size_t at, const std::string& with) {
    for (std::size_t i = 0; i < with.size() && at + i < bytes_.size(); ++i)
      bytes_[at + i] = with[i];
  }

  void write_number() {
    const std::size_t size = std::size_t{1} << below(4);
    const std::uint64_t number =
        below(4) == 0 ? bytes_.size() + below(9) - 4 : kNumbers[below(kNumbers.size())] - below(2);
    overwrite(below(bytes_.size()), number_bytes(number, size, below(2) == 1));
  }

  void add_to_number() {
    const std::size_t at = below(bytes_.size());
    bytes_[at] = static_cast<char>(bytes_[at] + static_cast<char>(below(33)) - 16);
  }

  void remove() { bytes_.erase(below(bytes_.size()), length()); }

  void repeat() {
    const std::string part = bytes_.substr(below(bytes_.size()), length());
    bytes_.insert(below(bytes_.size()), part);
  }

  void insert() {
    std::string part;
    if (!corpus_.words.empty() && below(3) > 0) {
      part = corpus_.words[below(corpus_.words.size())];
    } else {
      for (std::size_t left = length(); left > 0; --left) part += static_cast<char>(random_());
    }
    bytes_.insert(below(bytes_.size() + 1), part);
  }

  void splice() {
    const std::string& other = corpus_.seeds[below(corpus_.seeds.size())];
    if (other.empty()) return;
    overwrite(below(bytes_.size()), other.substr(below(other.size()), length()));
  }

  void replace_digits() {
    const auto is_digit = [](char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; };
    const auto from = bytes_.begin() + static_cast<std::ptrdiff_t>(below(bytes_.size()));
    const auto first = std::find_if(from, bytes_.end(), is_digit);
    const auto last = std::find_if_not(first, bytes_.end(), is_digit);
    if (first != last) bytes_.replace(first, last, kNumberTexts[below(kNumberTexts.size())]);
  }

  const Corpus& corpus_;
  std::mt19937_64 random_;
  std::string bytes_;
};

}  // namespace

std::string variant(const Corpus& corpus, std::uint64_t index) {
  return Mutator(corpus, index).variant();
}

}  // namespace simclr::fuzz
