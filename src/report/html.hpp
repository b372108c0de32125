#pragma once
// Pieces of an HTML page. Text arguments are escaped; those called `html` are markup already.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace simclr {

/// Text for HTML's content and for attributes in quotation marks.
std::string escape(std::string_view text);

/// Rows "name: value"; pairs without a value are left out.
std::string html_facts(const std::vector<std::pair<std::string, std::string>>& facts);

struct HtmlTable {
  std::vector<std::string> head;
  std::vector<std::vector<std::string>> rows;    ///< as long as the head
  std::size_t first_number = 0, end_number = 0;  ///< columns of numbers, the end excluded
};
std::string html_table(const HtmlTable& table);

std::string html_section(std::string_view id, std::string_view title, std::string_view html);
std::string html_note(std::string_view text);
std::string html_details(std::string_view summary, std::string_view html);

/// The picture itself inside its <img>.
struct PngPicture {
  std::span<const std::byte> png;
  int width = 0, height = 0;
};
std::string html_picture(const PngPicture& picture, std::string_view description);

/// A page that needs nothing from outside.
std::string html_page(std::string_view title, std::string_view style, std::string_view html);

}  // namespace simclr
