#pragma once
// The messages of the watchdog, and the sockets that carry them.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "simclr/core/activity.hpp"
#include "simclr/core/system.hpp"

namespace simclr::watch {

// ---- frames: of a fixed layout, since both ends run the same program ----

/// A random number of the job; frames with another one are ignored.
using Token = std::array<std::uint64_t, 2>;

enum class FrameKind : std::uint32_t {
  hello,  ///< first frame of a rank
  beat,   ///< heartbeat
  leave,  ///< the sender's work is done; its silence is no fault
  fail,   ///< the sender has failed and is ending the job
  abort,  ///< the receiver must exit
};

struct Frame {
  Token token{};
  FrameKind kind = FrameKind::beat;
  std::int32_t rank = 0;
  Whereabouts at;
};
static_assert(std::is_trivially_copyable_v<Frame>);

// ---- sockets ----

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
