#pragma once
// Texts of the study's files.

#include <string>

namespace simclr {

/// Without blanks at its ends.
inline std::string trimmed(const std::string& text) {
  constexpr const char* kBlanks = " \t";
  const std::size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

/// The text as the name of a file, the same for equal texts and different for others: other
/// characters than letters, digits and ".,_+-" become "-", long texts are cut, and a hash of the
/// text is then appended.
std::string file_name(const std::string& text);

}  // namespace simclr
