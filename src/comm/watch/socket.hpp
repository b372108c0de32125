#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "simclr/core/descriptor.hpp"

namespace simclr::watch {

/// Waits for connections on every interface, at a port that the system chooses.
struct Listener {
  Descriptor socket;
  std::uint16_t port = 0;
};
/// Throws Error where the machine has no network at all.
Listener listen_anywhere();
/// The next connection that waits; empty when there is none.
Descriptor accept_next(const Listener& listener);

/// Where this machine is reached: numeric addresses of the interfaces that are up, of this machine
/// alone (loopback) last.
std::vector<std::string> own_addresses();

/// Empty when nothing answers within `seconds`.
Descriptor connect_to(const std::string& address, std::uint16_t port, double seconds);

/// Whether there is something to read (or the end) within `seconds`.
bool readable(const Descriptor& socket, double seconds);

}  // namespace simclr::watch
