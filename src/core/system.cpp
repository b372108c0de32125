#include "simclr/core/system.hpp"

#include <malloc.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <system_error>

#include "simclr/core/check.hpp"

namespace simclr {

void fill_with_random_bytes(std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t got = ::getrandom(bytes.data(), bytes.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("the system gives no random bytes: {}", std::strerror(errno));
    bytes = bytes.subspan(static_cast<std::size_t>(got));
  }
}

std::optional<std::uint64_t> proc_bytes(const char* file, std::string_view key) {
  constexpr std::uint64_t kKilobyte = 1024;
  std::ifstream in(file);
  std::uint64_t value = 0;
  for (std::string name; in >> name;) {
    if (name == key && in >> value) return kKilobyte * value;
  }
  return std::nullopt;
}

std::string reason_of(int error_number, const std::filesystem::path& file) {
  std::string text = std::generic_category().message(error_number);
  if (error_number != ENOSPC) return text;
  std::error_code unknown;
  std::filesystem::path at = std::filesystem::absolute(file, unknown);
  while (!std::filesystem::exists(at, unknown) && at != at.parent_path()) at = at.parent_path();
  struct statvfs status {};
  const bool has_blocks = ::statvfs(at.c_str(), &status) == 0 && status.f_bavail > 0;
  const bool counts_inodes = status.f_files > 0;
  if (has_blocks && counts_inodes && status.f_favail == 0) text += " (no free inodes)";
  return text;
}

std::string host_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown-host";
}

void return_free_memory() { ::malloc_trim(0); }

std::optional<CoreTime> core_time(const std::string& schedstat) {
  CoreTime time;
  std::ifstream file(schedstat);
  if (!(file >> time.running >> time.waiting)) return std::nullopt;
  return time;
}

}  // namespace simclr
