#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "frame.hpp"
#include "socket.hpp"

namespace simclr::watch {

/// Sends frames to one other rank and receives its frames. No function blocks.
class Connection {
 public:
  explicit Connection(Descriptor socket) : socket_(std::move(socket)) {}

  /// Ignores errors: receive() reports a closed connection.
  void send(const Frame& frame) const;
  /// Closes the sending direction; receiving still works.
  void end_sending() const;

  struct Received {
    std::vector<Frame> frames;
    bool closed = false;  ///< the peer closed the connection; a broken link is silent instead
  };
  /// Returns all frames that have arrived.
  Received receive();

  [[nodiscard]] const Descriptor& socket() const { return socket_; }

 private:
  Descriptor socket_;
  std::array<std::byte, sizeof(Frame)> partial_{};
  std::size_t partial_bytes_ = 0;
  bool broken_ = false;  // a network error occurred; the peer's state is unknown
};

}  // namespace simclr::watch
