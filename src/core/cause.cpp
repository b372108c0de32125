#include "simclr/core/cause.hpp"

#include <system_error>

#include "simclr/core/check.hpp"

namespace simclr {

std::string_view name_of(Cause cause) {
  switch (cause) {
    case Cause::none:
      return "none";
    case Cause::finished:
      return "finished";
    case Cause::max_steps:
      return "max-steps";
    case Cause::signal:
      return "signal";
    case Cause::time_limit:
      return "time-limit";
    case Cause::lost_rank:
      return "lost-rank";
    case Cause::stalled:
      return "stalled";
    case Cause::desynchronized:
      return "desynchronised";
    case Cause::diverged:
      return "diverged";
    case Cause::not_finite:
      return "not-finite";
    case Cause::io:
      return "io";
    case Cause::error:
      return "error";
  }
  return "error";
}

bool helps_to_resubmit(Cause cause) {
  switch (cause) {
    case Cause::none:
    case Cause::signal:
    case Cause::time_limit:
    case Cause::lost_rank:
    case Cause::stalled:
    case Cause::io:
      return true;
    case Cause::finished:
    case Cause::max_steps:
    case Cause::desynchronized:
    case Cause::diverged:
    case Cause::not_finite:
    case Cause::error:
      return false;
  }
  return false;
}

Cause cause_of(const std::exception& exception) {
  if (const auto* error = dynamic_cast<const Error*>(&exception)) return error->cause();
  return dynamic_cast<const std::system_error*>(&exception) != nullptr ? Cause::io : Cause::error;
}

}  // namespace simclr
