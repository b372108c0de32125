#include "html.hpp"

#include <fmt/format.h>

#include <cstdint>

namespace simclr {
namespace {

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

}  // namespace

std::string escape(std::string_view text) {
  std::string escaped;
  escaped.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::string html_facts(const std::vector<std::pair<std::string, std::string>>& facts) {
  std::string html = "<dl>";
  for (const auto& [name, value] : facts) {
    if (value.empty()) continue;
    html += fmt::format("<div><dt>{}</dt><dd>{}</dd></div>\n", escape(name), escape(value));
  }
  return html + "</dl>\n";
}

std::string html_table(const HtmlTable& table) {
  const auto cells = [&](const std::vector<std::string>& row, std::string_view tag,
                         std::string_view scope) {
    std::string html = "<tr>";
    for (std::size_t c = 0; c < row.size(); ++c) {
      html +=
          fmt::format("<{}{}{}>{}</{}>", tag, scope,
                      c >= table.first_number && c < table.end_number ? " class=\"number\"" : "",
                      escape(row[c]), tag);
    }
    return html + "</tr>\n";
  };
  std::string html = "<div class=\"scroll\"><table><thead>";
  html += cells(table.head, "th", " scope=\"col\"") + "</thead><tbody>";
  for (const auto& row : table.rows) html += cells(row, "td", "");
  return html + "</tbody></table></div>\n";
}

std::string html_section(std::string_view id, std::string_view title, std::string_view html) {
  return fmt::format(
      "<section id=\"{0}\" aria-labelledby=\"{0}-title\"><h2 id=\"{0}-title\">{1}"
      "</h2>\n{2}</section>\n",
      id, escape(title), html);
}

std::string html_note(std::string_view text) {
  return fmt::format("<p class=\"note\">{}</p>\n", escape(text));
}

std::string html_details(std::string_view summary, std::string_view html) {
  return fmt::format("<details><summary>{}</summary>\n{}</details>\n", escape(summary), html);
}

std::string html_picture(const PngPicture& picture, std::string_view description) {
  return fmt::format(
      "<img src=\"data:image/png;base64,{}\" width=\"{}\" height=\"{}\" alt=\"{}\">\n",
      base64(picture.png), picture.width, picture.height, escape(description));
}

std::string html_page(std::string_view title, std::string_view style, std::string_view html) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n"
      "<title>{}</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n{}</main>\n</body>\n"
      "</html>\n",
      escape(title), style, html);
}

}  // namespace simclr
