#pragma once
// report.html with its data inside.

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>

namespace simclr {

/// The file report.html of this folder. "DATA" alone in an element stands for the data.
std::string_view page_template();

/// The template with `data` in it. No text of the data can end the element that holds it, and bytes
/// that are not UTF-8 become U+FFFD.
std::string fill_page(const nlohmann::ordered_json& data);

/// RFC 4648, with padding.
std::string base64(std::span<const std::byte> bytes);

}  // namespace simclr
