#include "page.hpp"

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "simclr/core/check.hpp"

namespace simclr {

std::string fill_page(const nlohmann::ordered_json& data) {
  constexpr std::string_view kPlace = ">DATA<";
  const std::string_view page = page_template();
  const std::size_t place = page.find(kPlace);
  require(place != std::string_view::npos, "report.html must have an element DATA");
  const std::size_t begin = place + 1, end = place + kPlace.size() - 1;
  std::string filled(page.substr(0, begin));
  using Json = nlohmann::ordered_json;
  for (const char c : data.dump(-1, ' ', false, Json::error_handler_t::replace)) {
    if (c == '<') {  // occurs only within strings
      filled += "\\u003c";
    } else {
      filled += c;
    }
  }
  return filled.append(page.substr(end));
}

std::string base64(std::span<const std::byte> bytes) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t b = 0; b < 3; ++b) {
      group = group << 8U | (b < count ? std::to_integer<std::uint32_t>(bytes[i + b]) : 0U);
    }
    for (std::size_t d = 0; d < 4; ++d) {
      text += d <= count ? kDigits[group >> (18 - 6 * d) & 63U] : '=';
    }
  }
  return text;
}

}  // namespace simclr
