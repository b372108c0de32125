#include "simclr/core/option_values.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <type_traits>
#include <utility>

namespace simclr {
namespace {

/// True when the range includes the number; false for non-finite numbers.
template <class Number>
bool accepts(const NumberRange& range, Number number) {
  const auto value = static_cast<double>(number);
  // Numbers are used as 32-bit floats, in which larger ones are infinite.
  if (!std::isfinite(static_cast<float>(value))) return false;
  if (const auto& low = range.low) {
    if (!(low->inclusive ? value >= low->value : value > low->value)) return false;
  }
  if (const auto& high = range.high) {
    if (!(high->inclusive ? value <= high->value : value < high->value)) return false;
  }
  if constexpr (std::is_signed_v<Number> && std::is_integral_v<Number>) {
    return number % range.multiple_of == 0;
  }
  return true;
}

template <class Number>
bool read_number(const std::string& text, Number& value, const NumberRange& range) {
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && rest == end && accepts(range, value);
}

bool split_list(const std::string& text, std::vector<std::string>& items) {
  items.clear();
  if (text.empty()) return true;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t comma = std::min(text.find(',', begin), text.size());
    items.push_back(text.substr(begin, comma - begin));
    begin = comma + 1;
  }
  return std::ranges::none_of(items, &std::string::empty);
}

template <class Number>
bool read_numbers(const std::string& text, std::vector<Number>& value, const NumberRange& range) {
  std::vector<std::string> items;
  if (!split_list(text, items)) return false;
  value.resize(items.size());
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (!read_number(items[i], value[i], range)) return false;
  }
  return range.count == 0 || value.empty() || value.size() == range.count;
}

}  // namespace

NumberRange NumberRange::at_most(double bound) const {
  NumberRange range = *this;
  range.high = {bound, true};
  return range;
}
NumberRange NumberRange::below(double bound) const {
  NumberRange range = *this;
  range.high = {bound, false};
  return range;
}
NumberRange NumberRange::multiples_of(std::int64_t divisor) const {
  NumberRange range = *this;
  range.multiple_of = divisor;
  return range;
}
NumberRange NumberRange::items(std::size_t number) const {
  NumberRange range = *this;
  range.count = number;
  return range;
}
NumberRange any_number() { return {}; }
NumberRange at_least(double bound) { return {.low = {{bound, true}}, .high = {}}; }
NumberRange above(double bound) { return {.low = {{bound, false}}, .high = {}}; }

bool read_value(const std::string& text, std::string& value, const NumberRange& /*range*/) {
  value = text;
  return true;
}
bool read_value(const std::string& text, std::filesystem::path& value,
                const NumberRange& /*range*/) {
  value = text;
  return true;
}
bool read_value(const std::string& text, bool& value, const NumberRange& /*range*/) {
  value = text == "true";
  return value || text == "false";
}
bool read_value(const std::string& text, int& value, const NumberRange& range) {
  return read_number(text, value, range);
}
bool read_value(const std::string& text, std::int64_t& value, const NumberRange& range) {
  return read_number(text, value, range);
}
bool read_value(const std::string& text, std::uint64_t& value, const NumberRange& range) {
  return read_number(text, value, range);
}
bool read_value(const std::string& text, double& value, const NumberRange& range) {
  return read_number(text, value, range);
}
bool read_value(const std::string& text, std::vector<std::int64_t>& value,
                const NumberRange& range) {
  return read_numbers(text, value, range);
}
bool read_value(const std::string& text, std::vector<double>& value, const NumberRange& range) {
  return read_numbers(text, value, range);
}
bool read_value(const std::string& text, std::vector<std::string>& value,
                const NumberRange& /*range*/) {
  return split_list(text, value);
}

std::string value_text(const std::string& value) { return value; }
std::string value_text(const std::filesystem::path& value) { return value.string(); }
std::string value_text(bool value) { return value ? "true" : "false"; }
std::string value_text(int value) { return fmt::format("{}", value); }
std::string value_text(std::int64_t value) { return fmt::format("{}", value); }
std::string value_text(std::uint64_t value) { return fmt::format("{}", value); }
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

std::string bounds_text(const NumberRange& range) {
  std::vector<std::string> parts;
  if (const auto& low = range.low) {
    parts.push_back(low->inclusive ? fmt::format("{} or more", low->value)
                                   : fmt::format("above {}", low->value));
  }
  if (const auto& high = range.high) {
    parts.push_back(high->inclusive ? fmt::format("at most {}", high->value)
                                    : fmt::format("below {}", high->value));
  }
  if (range.multiple_of > 1) parts.push_back(fmt::format("a multiple of {}", range.multiple_of));
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string range_text(ValueType type, const NumberRange& range) {
  const std::string bounds = bounds_text(range);
  const std::string count = range.count > 0 ? fmt::format("{} ", range.count) : "";
  const std::string one = bounds.empty() ? "" : ", " + bounds;
  const std::string each = bounds.empty() ? "" : ", each " + bounds;
  switch (type) {
    case ValueType::text:
      return "a text";
    case ValueType::path:
      return "a path";
    case ValueType::flag:
      return "true or false";
    case ValueType::choice:
      break;  // described by its choices
    case ValueType::integer:
      return "a whole number" + one;
    case ValueType::number:
      return "a finite number" + one;
    case ValueType::integers:
      return count + "whole numbers separated by commas" + each;
    case ValueType::numbers:
      return count + "finite numbers separated by commas" + each;
    case ValueType::names:
      return "names separated by commas";
  }
  return "";
}

}  // namespace simclr
