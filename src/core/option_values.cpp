#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>

#include "simclr/core/options.hpp"

namespace simclr {
namespace {

template <class Number>
void parse_number(const std::string& text, Number& value, std::string_view expected) {
  Number parsed{};
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, parsed);
  if (error != std::errc() || rest != end || text.empty()) refuse("allowed: {}", expected);
  value = parsed;
}

std::vector<std::string> split_list(const std::string& text) {
  std::vector<std::string> items;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t comma = std::min(text.find(',', begin), text.size());
    items.push_back(text.substr(begin, comma - begin));
    if (items.back().empty()) refuse("allowed: a comma-separated list without empty items");
    begin = comma + 1;
  }
  return items;
}

template <class Number>
std::vector<Number> parse_numbers(const std::string& text, std::string_view expected) {
  std::vector<Number> numbers;
  for (const std::string& item : split_list(text)) {
    parse_number(item, numbers.emplace_back(), expected);
  }
  return numbers;
}

}  // namespace

void parse_value(const std::string& text, std::string& value) { value = text; }
void parse_value(const std::string& text, std::filesystem::path& value) { value = text; }
void parse_value(const std::string& text, bool& value) {
  if (text != "true" && text != "false") refuse("allowed: true or false");
  value = text == "true";
}
void parse_value(const std::string& text, int& value) {
  parse_number(text, value, "a whole number");
}
void parse_value(const std::string& text, std::int64_t& value) {
  parse_number(text, value, "a whole number");
}
void parse_value(const std::string& text, std::uint64_t& value) {
  parse_number(text, value, "a whole number, not negative");
}
void parse_value(const std::string& text, float& value) { parse_number(text, value, "a number"); }
void parse_value(const std::string& text, double& value) { parse_number(text, value, "a number"); }
void parse_value(const std::string& text, std::vector<std::int64_t>& value) {
  value = parse_numbers<std::int64_t>(text, "whole numbers separated by commas");
}
void parse_value(const std::string& text, std::vector<double>& value) {
  value = parse_numbers<double>(text, "numbers separated by commas");
}
void parse_value(const std::string& text, std::vector<std::string>& value) {
  value = split_list(text);
}

std::string value_text(const std::string& value) { return value; }
std::string value_text(const std::filesystem::path& value) { return value.string(); }
std::string value_text(bool value) { return value ? "true" : "false"; }
std::string value_text(int value) { return fmt::format("{}", value); }
std::string value_text(std::int64_t value) { return fmt::format("{}", value); }
std::string value_text(std::uint64_t value) { return fmt::format("{}", value); }
std::string value_text(float value) { return fmt::format("{}", value); }
std::string value_text(double value) { return fmt::format("{}", value); }
std::string value_text(const std::vector<std::int64_t>& value) {
  return fmt::format("{}", fmt::join(value, ","));
}
std::string value_text(const std::vector<double>& value) {
  return fmt::format("{}", fmt::join(value, ","));
}
std::string value_text(const std::vector<std::string>& value) {
  return fmt::format("{}", fmt::join(value, ","));
}

}  // namespace simclr
