#include "simclr/io/retry.hpp"

#include <algorithm>
#include <string>
#include <system_error>
#include <thread>

#include "simclr/core/log.hpp"
#include "simclr/core/system.hpp"

namespace simclr {
namespace {

std::string with_path(const std::filesystem::path& path, const std::string& message) {
  if (message.find(path.string()) != std::string::npos) return message;
  return path.string() + ": " + message;
}

}  // namespace

bool is_transient(int error_number) {
  constexpr std::array kTransient{EIO,         EREMOTEIO,    EAGAIN,       EINTR,     EBUSY,
                                  ESTALE,      ETIMEDOUT,    ENOLCK,       ENOBUFS,   ENETDOWN,
                                  ENETUNREACH, ENETRESET,    ECONNRESET,   EHOSTDOWN, EHOSTUNREACH,
                                  ENOTCONN,    ECONNREFUSED, ECONNABORTED, ESHUTDOWN};
  return std::find(kTransient.begin(), kTransient.end(), error_number) != kTransient.end();
}

void fail_io(std::string_view what, int error_number) {
  const std::error_code code(error_number, std::generic_category());
  throw IoError(fmt::format("{}: {}", what, code.message()), error_number);
}

void fail_io(std::string_view action, const std::filesystem::path& file, int error_number) {
  throw IoError(
      fmt::format("cannot {} {}: {}", action, file.string(), reason_of(error_number, file)),
      error_number);
}

void wait_to_retry(const IoError& error, int attempt, const std::filesystem::path& path,
                   RetryPauses pauses) {
  constexpr int kNotTransient = 0;
  const std::string message = with_path(path, error.what());
  const auto last = static_cast<int>(pauses.size()) + 1;
  if (!is_transient(error.error_number())) throw IoError(message, error.error_number());
  if (attempt >= last) {
    throw IoError(fmt::format("{} (gave up after {} tries)", message, attempt), kNotTransient);
  }
  const auto pause = pauses[static_cast<std::size_t>(attempt - 1)];
  log::warning("{}; trying again in {:.1f} s (try {} of {})", message,
               std::chrono::duration<double>(pause).count(), attempt + 1, last);
  std::this_thread::sleep_for(pause);
}

}  // namespace simclr
