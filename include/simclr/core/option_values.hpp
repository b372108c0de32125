#pragma once
// The values of options: the ranges of numbers, and conversion from and to text.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace simclr {

/// The numbers that an option, or each item of a list, accepts. Non-finite numbers are never
/// accepted.
struct NumberRange {
  struct Bound {
    double value = 0;
    bool inclusive = true;
  };
  std::optional<Bound> low, high;
  std::int64_t multiple_of = 1;
  std::size_t count = 0;  ///< length of a non-empty list; 0: any length

  [[nodiscard]] NumberRange at_most(double bound) const;
  [[nodiscard]] NumberRange below(double bound) const;
  [[nodiscard]] NumberRange multiples_of(std::int64_t divisor) const;
  [[nodiscard]] NumberRange items(std::size_t number) const;
};
NumberRange any_number();
NumberRange at_least(double bound);
NumberRange above(double bound);

enum class ValueType : std::uint8_t {
  text,
  path,
  flag,
  choice,
  integer,
  number,
  integers,
  numbers,
  names,
};

constexpr ValueType type_of(const std::string&) { return ValueType::text; }
constexpr ValueType type_of(const std::filesystem::path&) { return ValueType::path; }
constexpr ValueType type_of(bool) { return ValueType::flag; }
constexpr ValueType type_of(int) { return ValueType::integer; }
constexpr ValueType type_of(std::int64_t) { return ValueType::integer; }
constexpr ValueType type_of(std::uint64_t) { return ValueType::integer; }
constexpr ValueType type_of(double) { return ValueType::number; }
constexpr ValueType type_of(const std::vector<std::int64_t>&) { return ValueType::integers; }
constexpr ValueType type_of(const std::vector<double>&) { return ValueType::numbers; }
constexpr ValueType type_of(const std::vector<std::string>&) { return ValueType::names; }

/// Reads a value. Returns false when the text has another type or the value is out of range;
/// `value` is then undefined. Items of lists are separated by commas, without spaces or empty
/// items; an empty text is an empty list.
bool read_value(const std::string& text, std::string& value, const NumberRange& range);
bool read_value(const std::string& text, std::filesystem::path& value, const NumberRange& range);
bool read_value(const std::string& text, bool& value, const NumberRange& range);
bool read_value(const std::string& text, int& value, const NumberRange& range);
bool read_value(const std::string& text, std::int64_t& value, const NumberRange& range);
bool read_value(const std::string& text, std::uint64_t& value, const NumberRange& range);
bool read_value(const std::string& text, double& value, const NumberRange& range);
bool read_value(const std::string& text, std::vector<std::int64_t>& value,
                const NumberRange& range);
bool read_value(const std::string& text, std::vector<double>& value, const NumberRange& range);
bool read_value(const std::string& text, std::vector<std::string>& value, const NumberRange& range);

/// Writes a value as the shortest text that reads back exactly.
std::string value_text(const std::string& value);
std::string value_text(const std::filesystem::path& value);
std::string value_text(bool value);
std::string value_text(int value);
std::string value_text(std::int64_t value);
std::string value_text(std::uint64_t value);
std::string value_text(double value);
std::string value_text(const std::vector<std::int64_t>& value);
std::string value_text(const std::vector<double>& value);
std::string value_text(const std::vector<std::string>& value);

/// Describes the accepted values: "a whole number, 1 or more", "3 finite numbers separated by
/// commas, each above 0".
std::string range_text(ValueType type, const NumberRange& range);
/// Describes the bounds: "1 or more", "above 0, at most 2.5"; empty without bounds.
std::string bounds_text(const NumberRange& range);

}  // namespace simclr
