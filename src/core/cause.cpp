#include "simclr/core/cause.hpp"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <new>
#include <stdexcept>
#include <system_error>

#include "allocation.hpp"
#include "simclr/core/activity.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/system.hpp"

namespace simclr {
namespace {

/// Errors of the file system that the user can mend: nothing is lost when they end the program.
constexpr std::array kMendable{std::errc::permission_denied,
                               std::errc::operation_not_permitted,
                               std::errc::no_such_file_or_directory,
                               std::errc::not_a_directory,
                               std::errc::is_a_directory,
                               std::errc::too_many_symbolic_link_levels,
                               std::errc::filename_too_long,
                               std::errc::read_only_file_system};

/// "while reading a batch (step 12)"
std::string doing() {
  const Whereabouts at = activity().now();
  return fmt::format("while {}{}", at.phase.data(),
                     at.step > 0 ? fmt::format(" (step {})", at.step) : "");
}

/// "1.23 GB", or "? GB" where the file of /proc does not tell.
std::string gigabytes(const char* file, std::string_view key) {
  const auto bytes = proc_bytes(file, key);
  return bytes ? fmt::format("{:.2f} GB", static_cast<double>(*bytes) / 1e9) : "? GB";
}

std::string out_of_memory() {
  const auto asked = static_cast<double>(last_refused_bytes());
  std::string text = fmt::format(
      "out of memory {}: {}this process holds {}, and {} of the machine's memory are available",
      doing(), asked > 0 ? fmt::format("needed {:.1f} MB more, ", asked / 1e6) : "",
      gigabytes("/proc/self/status", "VmRSS:"), gigabytes("/proc/meminfo", "MemAvailable:"));
  rlimit limit{};
  if (::getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
    text += fmt::format("; its address space is limited to {:.2f} GB (ulimit -v)",
                        static_cast<double>(limit.rlim_cur) / 1e9);
  }
  return text;
}

/// The action that failed; libstdc++ names it in its message only.
std::string_view action_of(std::string_view message) {
  for (const std::string_view action : {"create", "rename", "remove"}) {
    if (message.find(action) != std::string_view::npos) return action;
  }
  return "read";
}

}  // namespace

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

bool is_refusal(const std::exception& exception) {
  if (dynamic_cast<const RefusedError*>(&exception) != nullptr) return true;
  std::error_code code;
  if (const auto* error = dynamic_cast<const std::filesystem::filesystem_error*>(&exception)) {
    code = error->code();
  } else if (const auto* failed = dynamic_cast<const IoError*>(&exception)) {
    code = {failed->error_number(), std::generic_category()};
  }
  return std::ranges::any_of(kMendable, [&](std::errc mendable) { return code == mendable; });
}

std::string message_of(const std::exception& exception) {
  if (dynamic_cast<const Error*>(&exception) != nullptr) return exception.what();
  if (const auto* file = dynamic_cast<const std::filesystem::filesystem_error*>(&exception)) {
    return fmt::format("cannot {} {}: {}", action_of(file->what()), file->path1().string(),
                       reason_of(file->code().value(), file->path1()));
  }
  if (const auto* system = dynamic_cast<const std::system_error*>(&exception)) {
    if (system->code() == std::errc::resource_unavailable_try_again) {
      return fmt::format(
          "cannot start another thread {}; lower --threads and --loader-threads, or raise the "
          "limit "
          "of processes (ulimit -u)",
          doing());
    }
    return fmt::format("{} {}", system->code().message(), doing());
  }
  // A length error is a request for more elements than memory can ever hold.
  if (dynamic_cast<const std::bad_alloc*>(&exception) != nullptr ||
      dynamic_cast<const std::length_error*>(&exception) != nullptr) {
    return out_of_memory();
  }
  return fmt::format("internal error {}: {}", doing(), exception.what());
}

}  // namespace simclr
