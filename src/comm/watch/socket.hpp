#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace simclr::watch {

/// Owns a descriptor.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int descriptor) : descriptor_(descriptor) {}
  Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket();

  explicit operator bool() const { return descriptor_ >= 0; }
  [[nodiscard]] int descriptor() const { return descriptor_; }

 private:
  int descriptor_ = -1;
};

/// Waits for connections on every interface, at a port that the system chooses.
struct Listener {
  Socket socket;
  std::uint16_t port = 0;
};
/// Throws Error where the machine has no network at all.
Listener listen_anywhere();
/// The next connection that waits; empty when there is none.
Socket accept_next(const Listener& listener);

/// Where this machine is reached: numeric addresses of the interfaces that are up, of this machine
/// alone (loopback) last.
std::vector<std::string> own_addresses();

/// Empty when nothing answers within `seconds`.
Socket connect_to(const std::string& address, std::uint16_t port, double seconds);

/// Whether there is something to read (or the end) within `seconds`.
bool readable(const Socket& socket, double seconds);

}  // namespace simclr::watch
