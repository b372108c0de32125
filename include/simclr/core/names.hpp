#pragma once
// Finds the known name nearest to a typo.

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

}  // namespace simclr
