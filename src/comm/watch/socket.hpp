#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "simclr/core/descriptor.hpp"

namespace simclr::watch {

/// Accepts connections on every interface, at a port that the system chooses.
struct Listener {
  Descriptor socket;
  std::uint16_t port = 0;
};
/// Throws Error when the machine has no network.
Listener listen_anywhere();
/// Accepts the next waiting connection; empty when there is none.
Descriptor accept_next(const Listener& listener);

/// Numeric addresses of this machine's interfaces that are up, loopback last.
std::vector<std::string> own_addresses();

/// Connects; empty when nothing answers within `seconds`.
Descriptor connect_to(const std::string& address, std::uint16_t port, double seconds);

/// Waits up to `seconds`; true when there are data to read or the connection is closed.
bool readable(const Descriptor& socket, double seconds);

}  // namespace simclr::watch
