#pragma once
// Why a run ended: what errors carry, and what state.json tells job scripts.

#include <cstdint>
#include <exception>
#include <string_view>

namespace simclr {

enum class Cause : std::uint8_t {
  none,  ///< it has not ended
  finished,
  max_steps,
  signal,
  time_limit,
  lost_rank,       ///< a rank is dead or cannot be reached
  stalled,         ///< all ranks live, but one of them does not go on
  desynchronised,  ///< ranks hold different weights
  diverged,
  not_finite,
  io,  ///< reading or writing files
  error,
};

/// "lost-rank", "not-finite", ...
std::string_view name_of(Cause cause);

/// Whether starting the same command again can help: true for a run that was cut off from outside.
bool helps_to_resubmit(Cause cause);

/// That of an Error; io for errors of the file system; else `error`.
Cause cause_of(const std::exception& exception);

}  // namespace simclr
