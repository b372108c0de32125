#include "simclr/core/foreign_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

namespace simclr {
namespace {

/// Length of the UTF-8 sequence that the text begins with; 0 when it begins with none. Does not
/// refuse overlong sequences and surrogates, which terminals replace.
std::size_t sequence_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t first = byte(0);
  const std::size_t length = first < 0x80                    ? 1
                             : first >= 0xC2 && first < 0xE0 ? 2
                             : first >= 0xE0 && first < 0xF0 ? 3
                             : first >= 0xF0 && first < 0xF5 ? 4
                                                             : 0;
  if (length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80) return 0;
  }
  return length;
}

/// Whether a terminal obeys the UTF-8 sequence: one of the control characters C0, DEL and C1.
bool is_control(std::string_view sequence) {
  const auto first = static_cast<std::uint8_t>(sequence[0]);
  if (sequence.size() == 1) return first < 0x20 || first == 0x7F;
  return first == 0xC2 && static_cast<std::uint8_t>(sequence[1]) < 0xA0;
}

}  // namespace

std::string printable(std::string_view text, LineBreaks line_breaks) {
  std::string shown;
  shown.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = sequence_length(text);
    const std::string_view sequence = text.substr(0, std::max<std::size_t>(length, 1));
    const bool kept = sequence == "\t" || (sequence == "\n" && line_breaks == LineBreaks::kept);
    if (kept || (length > 0 && !is_control(sequence))) {
      shown += sequence;
    } else {
      for (const char c : sequence) {
        shown += fmt::format("\\x{:02x}", static_cast<unsigned>(static_cast<std::uint8_t>(c)));
      }
    }
    text.remove_prefix(sequence.size());
  }
  return shown;
}

std::string excerpt(std::string_view text, std::size_t most_bytes) {
  const std::string shown = printable(text.substr(0, most_bytes));
  return text.size() > most_bytes ? shown + "..." : shown;
}

std::string json_reason(std::string_view what) {
  const std::size_t end = what.find("] ");
  if (what.starts_with('[') && end != std::string_view::npos) what.remove_prefix(end + 2);
  // "cannot use at() with array" names a function of the library and what it was called on.
  constexpr std::string_view kWith = " with ";
  const std::size_t with = what.rfind(kWith);
  if (!what.starts_with("cannot use ") || with == std::string_view::npos) return std::string(what);
  return fmt::format("{} stands in place of an object", what.substr(with + kWith.size()));
}

}  // namespace simclr
