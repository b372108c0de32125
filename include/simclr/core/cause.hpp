#pragma once
// Why a run ended: errors carry the cause, and state.json gives it to job scripts.

#include <cstdint>
#include <exception>
#include <string>
#include <string_view>

namespace simclr {

enum class Cause : std::uint8_t {
  none,  ///< the run has not ended
  finished,
  max_steps,
  signal,
  time_limit,
  lost_rank,       ///< a rank is dead or cannot be reached
  stalled,         ///< all ranks are alive, but none makes progress
  desynchronized,  ///< ranks hold different weights
  diverged,
  not_finite,
  lost_lock,  ///< another start owns the run directory
  io,         ///< reading or writing files
  error,
};

/// The name in state.json: "lost-rank", "not-finite", ...
std::string_view name_of(Cause cause);

/// True when starting the same command again can help, because the run was ended from outside.
bool helps_to_resubmit(Cause cause);

/// The cause that an Error carries; io for errors of the file system; otherwise `error`.
Cause cause_of(const std::exception& exception);

/// True when the exception means that the input is refused (exit code 2): a RefusedError, or an
/// error of the file system or an IoError that the user can mend, such as a missing permission.
bool is_refusal(const std::exception& exception);

/// What to tell the user: an Error's own message. An error of the standard library is put into
/// words that name the file, or else what the program was doing (core/activity.hpp).
std::string message_of(const std::exception& exception);

}  // namespace simclr
