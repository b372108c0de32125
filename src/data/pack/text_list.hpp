#pragma once
// Lists of texts as one text, for messages between ranks.

#include <string>
#include <vector>

namespace simclr {

/// Separates texts: file names cannot contain it.
inline constexpr char kTextSeparator = '\0';

inline std::string join_texts(const std::vector<std::string>& texts) {
  std::string joined;
  for (const std::string& text : texts) joined += text + kTextSeparator;
  return joined;
}

inline std::vector<std::string> split_texts(const std::string& joined) {
  std::vector<std::string> texts;
  for (std::size_t at = 0; at < joined.size();) {
    const std::size_t end = joined.find(kTextSeparator, at);
    texts.push_back(joined.substr(at, end - at));
    at = end + 1;
  }
  return texts;
}

}  // namespace simclr
