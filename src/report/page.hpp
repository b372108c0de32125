#pragma once
// Fills the template of report.html with data.

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>

namespace simclr {

/// The text of report.html in this folder; the text "DATA" in an element marks the place of the
/// data.
std::string_view page_template();

/// Puts `data` into the template. Escapes text that could end the data's element; replaces bytes
/// that are not UTF-8 by U+FFFD.
std::string fill_page(const nlohmann::ordered_json& data);

/// Encodes as RFC 4648 does, with padding.
std::string base64(std::span<const std::byte> bytes);

}  // namespace simclr
