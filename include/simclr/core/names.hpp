#pragma once
// Names in messages: the known name nearest to a typo, and paths that can be copied into a shell.

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace simclr {

/// The end of an error message: "; did you mean 'X'?" with the known name of the smallest edit
/// distance (insertions, deletions, substitutions, swaps of neighbors); "" when every distance
/// exceeds half the length of `name`.
std::string suggestion(std::string_view name, std::span<const std::string> known);

/// Throws RefusedError "unknown WHAT 'NAME'; known: ...; did you mean ...?" unless NAME is known.
void require_known(std::string_view what, std::string_view name,
                   std::span<const std::string> known);

/// The text as one word of a shell's command line, quoted only if it must be.
std::string shell_word(const std::string& text);

}  // namespace simclr
