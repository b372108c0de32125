#include "text.hpp"

#include <algorithm>
#include <cctype>
#include <span>

#include "simclr/core/hash.hpp"

namespace simclr {

std::string file_name(const std::string& text) {
  constexpr std::size_t kLongest = 120, kCutTo = 100, kHashDigits = 8;
  std::string name = text;
  for (char& c : name) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 ||
                       std::string(".,_+-").find(c) != std::string::npos;
    if (!plain) c = '-';
  }
  if (name == text && name.size() <= kLongest) return name;
  name.resize(std::min(name.size(), kCutTo));
  return name + "-" + to_hex(hash64(std::as_bytes(std::span(text)))).substr(0, kHashDigits);
}

}  // namespace simclr
