#include "simclr/core/cause.hpp"

#include <algorithm>
#include <array>
#include <system_error>

#include "simclr/core/check.hpp"

namespace simclr {

std::string_view name_of(Cause cause) {
  constexpr std::array kCauseNames{
      "none",           "finished", "max-steps",  "signal",    "time-limit", "lost-rank", "stalled",
      "desynchronized", "diverged", "not-finite", "lost-lock", "io",         "error"};
  static_assert(kCauseNames.size() == static_cast<std::size_t>(Cause::error) + 1);
  return kCauseNames.at(static_cast<std::size_t>(cause));
}

bool helps_to_resubmit(Cause cause) {
  constexpr std::array kEndedFromOutside{Cause::none,      Cause::signal,  Cause::time_limit,
                                         Cause::lost_rank, Cause::stalled, Cause::io};
  return std::ranges::find(kEndedFromOutside, cause) != kEndedFromOutside.end();
}

Cause cause_of(const std::exception& exception) {
  if (const auto* error = dynamic_cast<const Error*>(&exception)) return error->cause();
  return dynamic_cast<const std::system_error*>(&exception) != nullptr ? Cause::io : Cause::error;
}

}  // namespace simclr
