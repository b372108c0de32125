#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "frame.hpp"
#include "socket.hpp"

namespace simclr::watch {

/// Frames to and from one other rank. Nothing here waits.
class Connection {
 public:
  explicit Connection(Descriptor socket) : socket_(std::move(socket)) {}

  /// That the other end is gone shows when receiving.
  void send(const Frame& frame) const;
  /// Nothing more will be sent; what the other end still sends can be received.
  void end_sending() const;

  struct Received {
    std::vector<Frame> frames;
    bool closed = false;  ///< by the other end; a link that is cut is silent instead
  };
  /// All frames that have come.
  Received receive();

  [[nodiscard]] const Descriptor& socket() const { return socket_; }

 private:
  Descriptor socket_;
  std::array<std::byte, sizeof(Frame)> partial_{};
  std::size_t partial_bytes_ = 0;
  bool broken_ = false;  // by the network, with no word of the other end
};

}  // namespace simclr::watch
