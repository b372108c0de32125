#pragma once
// Known names and the nearest one to a typo.

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace simclr {

/// The known name with the smallest edit distance to `name` (insertions, deletions, substitutions,
/// swaps of neighbors); empty if none is near enough to be meant (distance over half the length).
std::string nearest_name(std::string_view name, std::span<const std::string> known);

/// "; did you mean 'X'?" or "", to end an error message with.
std::string suggestion(std::string_view name, std::span<const std::string> known);

/// Throws RefusedError "unknown WHAT 'NAME'; known: ...; did you mean ...?" unless NAME is known.
void require_known(std::string_view what, std::string_view name,
                   std::span<const std::string> known);

}  // namespace simclr
