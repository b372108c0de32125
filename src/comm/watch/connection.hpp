#pragma once
// The messages of the watchdog, and the sockets that carry them.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "simclr/core/activity.hpp"
#include "simclr/core/system.hpp"
#include "siphash.hpp"

namespace simclr::watch {

// ---- frames: of a fixed layout, since both ends run the same program ----

/// A random number that only the ranks of the job know. It never travels over these sockets.
using Secret = Bits128;

enum class FrameKind : std::uint32_t {
  hello,  ///< first frame of a rank
  beat,   ///< heartbeat
  leave,  ///< the sender's work is done; its silence is no fault
  fail,   ///< the sender has failed and is ending the job
  abort,  ///< the receiver must exit
};

struct Frame {
  Bits128 tag{};  ///< set by Connection
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
///
/// Both sides first send a nonce, a random number of this connection. Each frame then carries a
/// tag: a keyed hash of both nonces, the direction, the number of the frame and its content. Only
/// who knows the job's secret can compute it, and no frame can be used again, elsewhere or in
/// another order. The first frame that arrives therefore proves that the peer belongs to the job.
class Connection {
 public:
  enum class Side : std::uint64_t { root, other };  ///< rank 0, or another rank

  /// Sends this side's nonce.
  Connection(Descriptor socket, Side side, const Secret& secret);

  /// True once the peer's nonce has been received; only then can this side send.
  [[nodiscard]] bool can_send() const { return peer_nonce_.has_value(); }
  /// Ignores errors: receive() reports a closed connection.
  void send(Frame frame);
  /// Closes the sending direction; receiving still works.
  void end_sending() const;

  struct Received {
    std::vector<Frame> frames;
    bool closed = false;   ///< the peer closed the connection; a broken link is silent instead
    bool foreign = false;  ///< a frame's tag is wrong; nothing more will be received
  };
  /// Returns all frames that have arrived. Reads at most one frame of a peer whose tag is wrong.
  Received receive();

  [[nodiscard]] const Descriptor& socket() const { return socket_; }

 private:
  [[nodiscard]] Bits128 tag_of(const Frame& frame, Side sender, std::uint64_t number) const;

  Descriptor socket_;
  Side side_;
  Secret secret_;
  Bits128 own_nonce_{};
  std::optional<Bits128> peer_nonce_;
  std::uint64_t sent_ = 0, received_ = 0;  // frames
  std::array<std::byte, sizeof(Frame)> partial_{};
  std::size_t partial_bytes_ = 0;
  bool broken_ =
      false;  // the peer is foreign, or a network error occurred and its state is unknown
};

}  // namespace simclr::watch
