#include "simclr/core/system.hpp"

#include <sys/random.h>
#include <unistd.h>

#include <malloc.h>
#include <array>

#include <cerrno>
#include <cstring>
#include <fstream>

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
