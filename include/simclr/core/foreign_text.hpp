#pragma once
// Text that comes from files of others: shown without effect on a terminal.

#include <cstddef>
#include <string>
#include <string_view>

namespace simclr {

enum class LineBreaks : bool { escaped, kept };

/// The text with control characters and bytes that are not UTF-8 as \xNN, so that a terminal shows
/// them instead of obeying them. Tabs and all other characters stay.
[[nodiscard]] std::string printable(std::string_view text,
                                    LineBreaks line_breaks = LineBreaks::escaped);

/// The beginning of a text as part of a message, printable; "..." stands for the rest.
[[nodiscard]] std::string excerpt(std::string_view text, std::size_t most_bytes = 60);

/// What a JSON library's exception says, without the exception's name and number.
[[nodiscard]] std::string json_reason(std::string_view what);

}  // namespace simclr
