#pragma once
// report.html with its data inside.

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>

namespace simclr {

/// The text of report.html in this folder, where an element "DATA" stands for the data.
std::string_view page_template();

/// Puts `data` into the template. No text of the data can end the element that holds it; bytes that
/// are not UTF-8 become U+FFFD.
std::string fill_page(const nlohmann::ordered_json& data);

/// RFC 4648, with padding.
std::string base64(std::span<const std::byte> bytes);

}  // namespace simclr
